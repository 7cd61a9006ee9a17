//! What the server writes down: a full run at TRACE, then a search through its logs, its store and
//! everything else it left for whatever it must not know or tell.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use acquaint_client::{
    AddressBook, Identifier,
    address_book::Import,
    user_list::{UserListReader, UserRow},
};
use acquaint_core::oprf::{self, Mode, OprfElement, Padding};
use acquaint_proto::v1::{
    EvaluateRequest, GetManifestRequest, GetQuotaRequest, PublishRequest, RegisterRequest,
    UnregisterRequest,
};
use bytes::Bytes;
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use sha2::{Digest as _, Sha256, Sha512};
use tonic::Code;

use crate::{
    binary::{Installation, Ran, Serving, authorized, run, run_with_input, sample},
    world,
};

/// Shorter ones could occur by chance.
const NEEDLE_BYTES_MIN: usize = 8;

/// Byte strings to look for, found by their first four bytes.
#[derive(Default)]
struct Needles {
    all: Vec<(String, Vec<u8>)>,
    by_start: HashMap<[u8; 4], Vec<usize>>,
}

impl Needles {
    fn push(&mut self, what: &str, bytes: Vec<u8>) {
        assert!(bytes.len() >= NEEDLE_BYTES_MIN, "{what} is too short to be looked for");
        self.by_start.entry(bytes[..4].try_into().unwrap()).or_default().push(self.all.len());
        self.all.push((what.to_owned(), bytes));
    }

    /// A text as it is, in UTF-16, encoded, and hashed.
    fn text(&mut self, what: &str, text: &str) {
        let units = || text.encode_utf16();
        self.push(what, text.as_bytes().to_vec());
        self.push(&format!("{what}, UTF-16LE"), units().flat_map(u16::to_le_bytes).collect());
        self.push(&format!("{what}, UTF-16BE"), units().flat_map(u16::to_be_bytes).collect());
        self.encoded(what, text.as_bytes());
        self.binary(&format!("SHA-256 of {what}"), &Sha256::digest(text));
        self.binary(&format!("SHA-512 of {what}"), &Sha512::digest(text));
        self.binary(&format!("BLAKE3 of {what}"), blake3::hash(text.as_bytes()).as_bytes());
    }

    /// Bytes as they are, their first half, and encoded.
    fn binary(&mut self, what: &str, bytes: &[u8]) {
        self.push(what, bytes.to_vec());
        // A truncated hash or element tells as much.
        if bytes.len() >= 32 {
            self.push(&format!("{what}, cut"), bytes[..16].to_vec());
            self.encoded(&format!("{what}, cut"), &bytes[..16]);
        }
        let list = |separator| bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(separator);
        self.push(&format!("{what}, decimal"), list(", ").into_bytes());
        self.push(&format!("{what}, decimal"), list(",").into_bytes());
        let octets = bytes.iter().map(|byte| format!("{byte:x}")).collect::<Vec<_>>().join(", ");
        self.push(&format!("{what}, octets"), octets.into_bytes());
        // As a field of a message is printed, and that within a string of JSON.
        let escaped = format!("{:?}", Bytes::copy_from_slice(bytes));
        let escaped = escaped.strip_prefix("b\"").and_then(|rest| rest.strip_suffix('"')).unwrap();
        self.push(&format!("{what}, escaped"), escaped.into());
        let again = escaped.replace('\\', r"\\").replace('"', "\\\"");
        self.push(&format!("{what}, escaped twice"), again.into_bytes());
        self.encoded(what, bytes);
    }

    fn encoded(&mut self, what: &str, bytes: &[u8]) {
        self.push(&format!("{what}, hex"), HEXLOWER.encode(bytes).into_bytes());
        self.push(&format!("{what}, HEX"), HEXUPPER.encode(bytes).into_bytes());
        // Within something longer, at each of the three alignments.
        for start in 0..3 {
            let whole = &bytes[start..][..(bytes.len() - start) / 3 * 3];
            for encoding in [BASE64_NOPAD, BASE64URL_NOPAD] {
                let text = encoding.encode(whole).into_bytes();
                if text.len() >= NEEDLE_BYTES_MIN {
                    self.push(&format!("{what}, base64"), text);
                }
            }
        }
    }

    /// A phone number in every way to write it, an e-mail address, or an opaque identifier.
    fn identifier(&mut self, identifier: &Identifier) {
        let canonical = str::from_utf8(identifier.as_bytes()).unwrap().to_owned();
        let (kind, bare) = canonical.split_once(':').unwrap();
        self.text(&canonical, &canonical);
        self.text(&canonical, bare);
        if let Some(digits) = bare.strip_prefix('+') {
            assert_eq!(kind, "tel");
            self.text(&canonical, digits);
            self.text(&canonical, &format!("00{digits}"));
            if let Some(national) = digits.strip_prefix("49") {
                self.text(&canonical, national);
                self.text(&canonical, &format!("0{national}"));
            }
        }
    }

    fn output(&mut self, what: &str, output: &OprfElement) {
        self.binary(&format!("output of {what}"), output.expose_bytes());
        let tag = output.tag().expose_u64();
        let what = format!("tag of {what}");
        self.binary(&what, &tag.to_be_bytes());
        self.binary(&what, &tag.to_le_bytes());
        self.push(&what, format!("{tag:020}").trim_start_matches('0').into());
    }

    /// What of all this is in the bytes.
    fn find(&self, haystack: &[u8]) -> Vec<&str> {
        // Most positions are dismissed by one look into a table.
        let mut starts = vec![false; 1 << 16];
        for start in self.by_start.keys() {
            starts[usize::from(u16::from_le_bytes([start[0], start[1]]))] = true;
        }
        let mut found = Vec::new();
        for (position, window) in haystack.windows(4).enumerate() {
            if !starts[usize::from(u16::from_le_bytes([window[0], window[1]]))] {
                continue;
            }
            for &i in self.by_start.get(window).into_iter().flatten() {
                let (what, bytes) = &self.all[i];
                if haystack[position..].starts_with(bytes) {
                    found.push(what.as_str());
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// The regular files below a directory but for keys.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let (path, kind) = {
            let entry = entry.unwrap();
            (entry.path(), entry.file_type().unwrap())
        };
        let is_key = path.ends_with("keys") || path.ends_with("tls/key.pem");
        match () {
            () if is_key => {}
            () if kind.is_dir() => paths.extend(files(&path)),
            () if kind.is_file() => paths.push(path),
            () => {}
        }
    }
    paths
}

/// Users and address book of the samples.
fn people() -> (Vec<UserRow>, AddressBook) {
    let users = UserListReader::open(sample("users.csv").as_ref()).unwrap();
    let users = users.collect::<Result<_, _>>().unwrap();
    let import = Import::new().default_region("DE".parse().ok());
    (users, import.read_path(sample("contacts.vcf").as_ref()).unwrap())
}

/// What went over the wire of this test's own calls, and what came of it.
struct Seen {
    blinded: Vec<u8>,
    evaluated: Vec<u8>,
    outputs: Vec<OprfElement>,
}

/// Good and bad calls whose content the test knows.
async fn call(server: &Serving<'_>, identifiers: &[Identifier], tokens: &Tokens) -> Seen {
    let (epoch, outputs) = server.outputs(identifiers, &tokens.registrar).await;
    let inputs: Vec<&[u8]> = identifiers.iter().map(Identifier::as_bytes).collect();
    let blinding = oprf::blind(Mode::Voprf, &inputs, Padding::Class(64), &mut rand::rng()).unwrap();
    let blinded = blinding.to_bytes();
    let mut discovery = server.discovery().await;
    let request = |epoch, elements: &[u8]| EvaluateRequest {
        epoch,
        blinded_elements: elements.to_vec().into(),
    };
    let answer = discovery.evaluate(authorized(request(epoch, &blinded), &tokens.alice)).await;
    let evaluated = answer.unwrap().into_inner().evaluated_elements.to_vec();
    discovery.get_quota(authorized(GetQuotaRequest {}, &tokens.alice)).await.unwrap();

    // Each of these names what it refuses nowhere.
    let mut not_canonical = blinded.clone();
    not_canonical[63] = 0xff;
    for (request, code) in [
        (request(epoch, &not_canonical), Code::InvalidArgument),
        (request(epoch, &blinded[..100]), Code::InvalidArgument),
        (request(epoch, &blinded.repeat(65)), Code::InvalidArgument),
        (request(epoch + 7, &blinded), Code::FailedPrecondition),
    ] {
        let refused = discovery.evaluate(authorized(request, &tokens.alice)).await;
        assert_eq!(refused.unwrap_err().code(), code);
    }
    for token in [&tokens.expired, &tokens.foreign, &tokens.forged, &tokens.registrar] {
        let refused =
            discovery.get_manifest(authorized(GetManifestRequest::default(), token)).await;
        let code = refused.unwrap_err().code();
        assert!([Code::Unauthenticated, Code::PermissionDenied].contains(&code));
    }
    let mut registry = server.registry().await;
    let elements: Vec<u8> = outputs.iter().flat_map(|e| *e.expose_bytes()).collect();
    let short = RegisterRequest {
        epoch,
        elements: elements.clone().into(),
        labels: world::label(7).0[..15].to_vec().into(),
        hidden: false,
    };
    let chunks = tokio_stream::once(short);
    let mut answers =
        registry.register(authorized(chunks, &tokens.registrar)).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap_err().code(), Code::InvalidArgument);
    let unknown = UnregisterRequest { epoch: epoch + 7, elements: elements.into() };
    let refused = registry.unregister(authorized(unknown, &tokens.registrar)).await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
    Seen { blinded, evaluated, outputs }
}

/// Credentials, good and bad.
struct Tokens {
    registrar: String,
    alice: String,
    expired: String,
    foreign: String,
    forged: String,
}

impl Tokens {
    fn mint(site: &Installation) -> Self {
        let alice = site.mint("alice", "discover", "1h");
        // One character in the middle is another one.
        let (head, tail) = alice.split_at(alice.len() / 2);
        let other = if tail.starts_with('A') { 'B' } else { 'A' };
        Self {
            registrar: site.mint("back-end", "register", "1h"),
            expired: site.expired("alice"),
            foreign: Installation::new().mint("alice", "discover", "1h"),
            forged: format!("{head}{other}{}", &tail[1..]),
            alice,
        }
    }

    fn all(&self) -> [&str; 5] {
        [&self.registrar, &self.alice, &self.expired, &self.foreign, &self.forged]
    }
}

/// What the commands printed, by whether it may show contacts.
#[derive(Default)]
struct Printed {
    public: Vec<(String, String)>,
    private: Vec<String>,
}

impl Printed {
    fn push(&mut self, name: &str, ran: Ran) {
        self.public.push((format!("{name}, stdout"), ran.stdout));
        self.public.push((format!("{name}, stderr"), ran.stderr));
    }
}

/// The commands of a registrar and of a client, with what they may print and what not.
fn commands(site: &Installation, server: &Serving<'_>, tokens: &Tokens) -> Printed {
    let file = |name: &str, token: &str| site.write(name, token);
    let registrar = file("registrar.cred", &tokens.registrar);
    let alice = file("alice.cred", &tokens.alice);
    let mut printed = Printed::default();
    let import = ["registry", "import", &sample("users.csv")];
    printed.push("import", run(&mut server.command(&import, &registrar)).ok());
    let label = HEXLOWER.encode(&world::label(1).0);
    for arguments in [
        &["registry", "register", "030 23125 024", "--region", "DE", "--label", &label][..],
        &["registry", "register", "mailto:greta@example.com", "--label", &label, "--hidden"],
        &["registry", "remove", "+49 30 23125 024", "t.schaefer@example.com", "id:gast-0001"],
        &["--json", "registry", "import", &sample("users.csv")],
    ] {
        printed.push("registry", run(&mut server.command(arguments, &registrar)).ok());
    }
    let book = sample("contacts.vcf");
    for arguments in [&["discover", &book][..], &["discover", "--json", &book]] {
        let ran = run(server.command(arguments, &alice).args(["--region", "DE"])).ok();
        printed.public.push(("discover, stderr".to_owned(), ran.stderr));
        printed.private.push(ran.stdout);
    }
    // Refusals tell no more than successes.
    for (name, token) in [("expired", &tokens.expired), ("forged", &tokens.forged)] {
        let credential = file(name, token);
        let ran = run(server.command(&["discover", &book], &credential).args(["--region", "DE"]));
        assert_eq!(ran.code, Some(1));
        printed.push("refused discover", ran);
    }
    let bad = ["registry", "register", "+49 30 23125 024 and more", "--label", &label];
    let ran = run(&mut server.command(&bad, &registrar));
    assert_eq!(ran.code, Some(1));
    printed.push("refused register", ran);
    let bad = run_with_input(
        server.command(&["discover", "-"], &alice).args(["--region", "DE"]),
        b"name,tel\nGreta Lehmann,030 23125 02\n",
    );
    printed.push("discover, skipped", bad.ok());
    printed.push("pin", run(&mut site.command(&["key", "pin"])).ok());
    printed
}

/// A run of everything, and what must not be found in what it left.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_down_names_nobody_and_gives_no_secret_away() {
    let site = Installation::new();
    let tokens = Tokens::mint(&site);
    let (users, book) = people();
    let mut identifiers: Vec<Identifier> = users.iter().map(|u| u.identifier.clone()).collect();
    identifiers.extend(book.contacts().iter().map(|c| c.identifier().clone()));
    identifiers.sort_unstable();
    identifiers.dedup();

    let mut secrets = Needles::default();
    let (mut seen, mut printed) = (Vec::new(), Vec::new());
    let mut left = Vec::new();
    for style in ["json", "text"] {
        let mut command = site.serve_command(&[]);
        command.args(["--log-level", "trace", "--log-style", style]);
        let server = site.start(&mut command);
        printed.push(commands(&site, &server, &tokens));
        seen.push(call(&server, &identifiers, &tokens).await);
        server.admin().await.publish(PublishRequest::default()).await.unwrap();
        // The store as it is while the server runs, and after it.
        left.extend(files(site.root()).into_iter().map(|path| {
            let content = fs::read(&path).unwrap();
            (format!("{} while serving", path.display()), content)
        }));
        server.stop();
    }
    left.extend(files(site.root()).into_iter().map(|path| {
        let content = fs::read(&path).unwrap();
        (path.display().to_string(), content)
    }));
    let log = fs::read_to_string(site.outside("serve.log")).unwrap();
    left.push(("log".to_owned(), log.clone().into_bytes()));

    // The run did what it says.
    for rpc in [
        "Registry.Register",
        "Registry.Unregister",
        "Registry.Evaluate",
        "FetchSet",
        "FetchLabels",
        "Publish",
    ] {
        assert!(log.contains(&format!("\"rpc\":\"{rpc}\"")), "{rpc} was not logged: {log}");
    }
    for words in ["InvalidArgument", "Unauthenticated", "published", "drained", "rpc=\"Publish\""] {
        assert!(log.contains(words), "{words} was not logged");
        assert!(!log.contains('\u{1b}'), "colors in a file");
    }

    for Seen { blinded, evaluated, outputs } in &seen {
        for element in blinded.chunks(32).chain(evaluated.chunks(32)) {
            secrets.binary("an element on the wire", element);
        }
        for (identifier, output) in identifiers.iter().zip(outputs) {
            secrets.output(&String::from_utf8_lossy(identifier.as_bytes()), output);
        }
    }
    for token in tokens.all() {
        secrets.push("a credential", token.into());
        let (head, tail) = token.split_at(token.len() / 2);
        secrets.push("half a credential", head.into());
        secrets.push("half a credential", tail.into());
    }
    for key in fs::read_dir(site.path("keys")).unwrap() {
        let path = key.unwrap().path();
        let digits = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        secrets.binary(name, &HEXLOWER.decode(digits.trim_ascii_end()).unwrap());
    }
    let tls_key = fs::read_to_string(site.path("tls/key.pem")).unwrap();
    secrets.push("the TLS key", tls_key.lines().nth(1).unwrap().into());

    let mut personal = Needles::default();
    for identifier in &identifiers {
        personal.identifier(identifier);
    }
    for name in book.contacts().iter().flat_map(|contact| contact.names()) {
        personal.push(name, name.clone().into_bytes());
    }
    for label in users.iter().map(|user| user.label).chain([world::label(1).0, world::label(7).0]) {
        personal.binary("a label", &label);
    }
    personal.push("a label that is too short", world::label(7).0[..15].to_vec());

    for (name, content) in &left {
        assert_eq!(personal.find(content), Vec::<&str>::new(), "in {name}");
        assert_eq!(secrets.find(content), Vec::<&str>::new(), "in {name}");
    }
    for Printed { public, private } in &printed {
        for (name, text) in public {
            assert_eq!(personal.find(text.as_bytes()), Vec::<&str>::new(), "in {name}: {text}");
            assert_eq!(secrets.find(text.as_bytes()), Vec::<&str>::new(), "in {name}: {text}");
        }
        for text in private {
            assert_eq!(secrets.find(text.as_bytes()), Vec::<&str>::new(), "in discover: {text}");
            // The search finds what a client may show.
            let shown = personal.find(text.as_bytes());
            for expected in ["tel:+493023125001", "a label, hex", "Jörg Müller"] {
                assert!(shown.contains(&expected), "{expected} is not in {shown:?}");
            }
        }
    }
    the_search_finds_what_is_planted(&personal, &secrets, &seen[0], &log);
}

/// The same search, in what a careless server would have written.
fn the_search_finds_what_is_planted(
    personal: &Needles,
    secrets: &Needles,
    Seen { blinded, outputs, .. }: &Seen,
    log: &str,
) {
    let utf16: Vec<u8> = "+493023125001".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let number = "tel:+493023125001";
    let label = HEXLOWER.decode(b"fa4a08c1cda13ce992a0a3246c9b3f00").unwrap();
    let field = Bytes::from(label.clone());
    let as_json = serde_json::json!({ "labels": format!("{field:?}") }).to_string();
    let planted: [(&Needles, Vec<u8>); 11] = [
        (personal, b"0049 is 00493023125001".to_vec()),
        (personal, b"mailto:greta@example.com".to_vec()),
        (personal, utf16),
        (personal, HEXUPPER.encode(&Sha256::digest(number)).into_bytes()),
        (personal, BASE64.encode(blake3::hash(number.as_bytes()).as_bytes()).into_bytes()),
        (personal, Sha512::digest(number)[..16].to_vec()),
        (personal, format!("labels: {label:?}").into_bytes()),
        (personal, format!("labels: {field:?}").into_bytes()),
        (personal, as_json.into_bytes()),
        (secrets, BASE64.encode(blinded).into_bytes()),
        (secrets, format!("tag {}", outputs[0].tag().expose_u64()).into_bytes()),
    ];
    for (needles, content) in planted {
        let text = String::from_utf8_lossy(&content).into_owned();
        let with_it = [log.as_bytes(), &content, log.as_bytes()].concat();
        assert!(!needles.find(&with_it).is_empty(), "not found: {text}");
    }
}
