//! Bad input: each mistake has one clear message that names the remedy, a non-zero exit code, and
//! costs nothing.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use acquaint_proto::v1::{GetStatusRequest, PublishRequest};

use crate::binary::{
    Installation, PATIENCE, Ran, Serving, acquaint, matches, run, run_with_input, sample,
};

const LABEL: &str = "00112233445566778899aabbccddeeff";

/// The command is refused, with and without `--json`, in one message with these words.
#[track_caller]
fn refused(make: impl Fn() -> Command, words: &[&str]) {
    let text = run(&mut make());
    let message = text.error();
    assert!(message.starts_with("error: "), "{message}");
    let object = run(make().arg("--json"));
    for (ran, message) in [(&text, message), (&object, object.error())] {
        for word in words {
            assert!(message.contains(word), "{word} is not in: {message}");
        }
        assert!(ran.stdout.is_empty(), "{ran:?}");
        assert!(message.len() < 400 && !message.contains("panicked"), "{message}");
    }
    let is_object = |line: &str| line.starts_with(r#"{"error":"#) && line.ends_with('}');
    assert_eq!(object.stderr.lines().filter(|line| is_object(line)).count(), 1);
}

/// A directory with the sample users, and credentials for it.
struct Stage {
    site: Installation,
    registrar: String,
    alice: String,
}

impl Stage {
    fn new() -> Self {
        let site = Installation::new();
        let registrar = site.credential("back-end", "register");
        let alice = site.credential("alice", "discover");
        Self { site, registrar, alice }
    }

    /// A server with the sample users.
    async fn serve(&self) -> Serving<'_> {
        let server = self.site.serve();
        let import = ["registry", "import", &sample("users.csv")];
        run(&mut server.command(&import, &self.registrar)).ok();
        server.admin().await.publish(PublishRequest::default()).await.unwrap();
        server
    }

    /// Whatever happened: nine of the contacts are found, as before.
    #[track_caller]
    fn check_intact(&self, server: &Serving<'_>) {
        assert_eq!(server.discover(&sample("contacts.vcf"), &self.alice).len(), 9);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn address_books_that_cannot_be_read() {
    let stage = Stage::new();
    let server = stage.serve().await;
    let discover = |file: String| {
        let (server, alice) = (&server, &stage.alice);
        move || server.command(&["discover", &file, "--region", "DE"], alice)
    };
    let missing = stage.site.outside("missing.vcf").display().to_string();
    refused(discover(missing), &["missing.vcf", "check the path and its permissions"]);
    let directory = stage.site.root().display().to_string();
    refused(discover(directory), &["cannot read", "check the path"]);
    let unknown = stage.site.write("unknown.csv", "name,tel,shoe size\nAnna,030 23125 001,38\n");
    refused(discover(unknown.clone()), &["column 3", "unknown name", "ignore unknown columns"]);
    let no_cards = stage.site.write("empty.vcf", "no card in here\n");
    refused(discover(no_cards), &["no vCard", "BEGIN:VCARD"]);
    let binary = stage.site.write("binary.csv", b"PK\x03\x04\x14\x00\x06\x00");
    refused(discover(binary), &["not text", "export the address book"]);
    let no_header = stage.site.write("header.csv", "1,2,3\n");
    refused(discover(no_header), &["first line must name the columns"]);

    // The remedy that the message names is one.
    let ignore = ["discover", &unknown, "--region", "DE", "--ignore-unknown-columns", "--json"];
    let found = run(&mut server.command(&ignore, &stage.alice)).ok().json();
    assert_eq!(matches(&found).len(), 1);
    let mut command = acquaint(&["demo", "--users", "10", "--contacts", &unknown]);
    let message = run(&mut command).error();
    assert!(message.contains("column 3"), "{message}");
    stage.check_intact(&server);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_cannot_be_normalized_is_reported_and_the_others_are_found() {
    let stage = Stage::new();
    let server = stage.serve().await;
    let book = "name,tel\n\
        Anna,030 23125 001\n\
        Nobody,see notice board\n\
        Nowhere,+999 30 1234 567\n\
        Jörg,+49 30 23125-002\n";
    let file = stage.site.write("book.csv", book);
    let discover = ["discover", &file, "--region", "DE"];
    let found = run(server.command(&discover, &stage.alice).arg("--json")).ok().json();
    assert_eq!(matches(&found).len(), 2);
    let lines: Vec<_> = found["skipped"].as_array().unwrap().iter().collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["line"], &lines[1]["line"]), (&3.into(), &4.into()));
    assert!(lines[1]["reason"].as_str().unwrap().contains("unknown country code"));

    let text = run(&mut server.command(&discover, &stage.alice)).ok();
    for words in ["line 3: skipped, ", "line 4: skipped, the number has an unknown country code"] {
        assert!(text.stderr.contains(words), "{words}: {}", text.stderr);
    }
    assert!(text.stdout.contains("2 of 2 contacts are registered; 2 lines skipped"));
    // Without a region, national numbers are reported and not guessed.
    let without = ["discover", "-", "--json"];
    let ran = run_with_input(&mut server.command(&without, &stage.alice), book.as_bytes());
    let found = ran.ok().json();
    assert_eq!((matches(&found).len(), found["skipped"].as_array().unwrap().len()), (1, 3));
    assert!(found["skipped"][0]["reason"].as_str().unwrap().contains("give a default region"));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_user_list_that_cannot_be_used() {
    let stage = Stage::new();
    let server = stage.serve().await;
    let import = |file: String| {
        let (server, registrar) = (&server, &stage.registrar);
        move || server.command(&["registry", "import", &file], registrar)
    };
    let missing = stage.site.outside("missing.csv").display().to_string();
    refused(import(missing), &["cannot read the user list", "check the path"]);
    let unknown = stage.site.write("unknown.csv", format!("tel,label,shoe size\n1,{LABEL},3\n"));
    refused(import(unknown), &["column 3", "rename it", "remove it"]);
    let no_label = stage.site.write("no-label.csv", "tel\n030 23125 001\n");
    refused(import(no_label), &["add a column named label"]);
    let no_identifier = stage.site.write("no-identifier.csv", "label\n");
    refused(import(no_identifier), &["exactly one column", "identifier"]);

    // Bad rows are reported, the others are registered, and the exit code says that not all are.
    let mixed = format!(
        "identifier,label\n\
         +49 30 23125 024,{LABEL}\n\
         +49 30 23125 021,{LABEL}00\n\
         +49 30 23125 003,too short\n\
         not a number,{LABEL}\n\
         id:somebody,{LABEL},extra\n"
    );
    let mixed = stage.site.write("mixed.csv", mixed);
    let text = run(&mut import(mixed.clone())());
    assert_eq!(text.code, Some(1));
    for words in
        ["line 3: skipped, the label has a wrong length", "line 4: ", "line 5: ", "line 6: "]
    {
        assert!(text.stderr.contains(words), "{words}: {}", text.stderr);
    }
    assert!(text.stdout.starts_with("1 accounts stored: 1 new, 0 changed; 4 rows skipped"));
    let again = run(import(mixed)().arg("--json"));
    assert_eq!(again.code, Some(1));
    let again = again.json();
    assert_eq!((&again["acknowledged"], &again["skipped"]), (&1.into(), &4.into()));
    let row = &again["skipped_rows"][0];
    assert_eq!(row["line"], 3);
    assert!(row["reason"].as_str().unwrap().contains("32 hexadecimal digits"));

    let register = |identifier: &'static str, label: &'static str| {
        let (server, registrar) = (&server, &stage.registrar);
        move || server.command(&["registry", "register", identifier, "--label", label], registrar)
    };
    let good = "id:somebody";
    refused(register(good, "0011"), &["--label", "32 hexadecimal digits or a UUID"]);
    refused(register(good, "no hexadecimal digits at all!!!!"), &["32 hexadecimal digits"]);
    refused(register("030 23125 001", LABEL), &["no country code", "give a default region"]);
    refused(register("somebody", LABEL), &["not a phone number"]);
    refused(
        || server.command(&["registry", "remove", "id:"], &stage.registrar),
        &["opaque identifier has 1 to 128 bytes"],
    );
    server.admin().await.publish(PublishRequest::default()).await.unwrap();
    assert_eq!(server.discover(&sample("contacts.vcf"), &stage.alice).len(), 10);
    let status = server.admin().await.get_status(GetStatusRequest::default()).await.unwrap();
    assert_eq!(status.into_inner().entries, 15);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_pins_and_credentials() {
    let stage = Stage::new();
    let (site, server) = (&stage.site, stage.serve().await);
    let book = sample("contacts.vcf");
    let discover = ["discover", &book, "--region", "DE"];
    let with = |credential: String| {
        let server = &server;
        move || server.command(&discover, &credential)
    };
    let minted = |text: String| site.write("other.cred", text);
    let expired = minted(site.expired("alice"));
    refused(with(expired), &["the credential has expired", "sign in again"]);
    let foreign = minted(Installation::new().mint("alice", "discover", "1h"));
    refused(with(foreign), &["not valid for this server", "obtain one from its operator"]);
    refused(with(minted("nonsense".to_owned())), &["not valid for this server"]);
    refused(with(minted(String::new())), &["credential"]);
    refused(with(stage.registrar.clone()), &["lacks the scope", "use one that has it"]);
    let missing = site.outside("missing.cred").display().to_string();
    refused(with(missing), &["missing.cred", "acquaint credential mint"]);
    let import = ["registry", "import", &sample("users.csv")];
    refused(|| server.command(&import, &stage.alice), &["lacks the scope"]);

    let certificate = site.path("tls/certificate.pem");
    let connect = |pin: &str, ca: &Path| {
        let mut command = acquaint(&["discover", &book, "--server", &server.url, "--pin", pin]);
        command.args(["--region", "DE", "--credential-file", &stage.alice, "--ca"]).arg(ca);
        command
    };
    let other = Installation::new();
    refused(
        || connect(&other.pin, &certificate),
        &["the manifest was refused", "check the pin with the operator"],
    );
    refused(|| connect("0123", &certificate), &["--pin", "hexadecimal"]);
    refused(
        || connect(&site.pin, &other.path("tls/certificate.pem")),
        &["certificate is not trusted", "root certificate"],
    );
    refused(|| connect(&site.pin, &site.path("acquaint.toml")), &["root certificate", "PEM"]);
    refused(|| connect(&site.pin, &site.path("missing.pem")), &["missing.pem", "certificate"]);
    for arguments in [&["discover"][..], &["discover", &book, "--pin", "00", "--oops"]] {
        let ran = run(acquaint(arguments).arg("--json"));
        assert_eq!(ran.code, Some(2));
        ran.error();
    }
    stage.check_intact(&server);
    server.stop();
}

#[test]
fn servers_that_cannot_be_reached() {
    let stage = Stage::new();
    let site = &stage.site;
    let book = sample("contacts.csv");
    let connect = |url: &str| {
        let mut command = acquaint(&["discover", &book, "--region", "DE", "--timeout", "1"]);
        command
            .args(["--server", url, "--pin", &site.pin, "--credential-file", &stage.alice, "--ca"])
            .arg(site.path("tls/certificate.pem"));
        command
    };
    let open = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = open.local_addr().unwrap().port();
    let silent = format!("https://localhost:{port}");
    let closed = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("https://localhost:{}", free.local_addr().unwrap().port())
    };
    for url in [&closed, &silent, "https://host.invalid:7443"] {
        let start = Instant::now();
        refused(|| connect(url), &["cannot be reached", "check the address and the network"]);
        assert!(start.elapsed() < PATIENCE / 2, "{url}: {:?}", start.elapsed());
    }
    refused(|| connect("http://localhost:7443"), &["https://"]);
    refused(|| connect("not an address"), &["not an address such as https://"]);
    drop(open);
}

/// `serve` is refused; nothing is printed but the message.
#[track_caller]
fn serve_refused(site: &Installation, overrides: &[(&str, &str)], words: &[&str]) {
    refused(
        || {
            let mut command = site.command(&["serve"]);
            command.env("ACQUAINT__LISTEN", "127.0.0.1:0").envs(overrides.iter().copied());
            command
        },
        words,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_is_refused_and_the_first_goes_on() {
    let stage = Stage::new();
    let (site, server) = (&stage.site, stage.serve().await);
    let address = server.hello["address"].as_str().unwrap();
    serve_refused(
        site,
        &[("ACQUAINT__LISTEN", address)],
        &["cannot listen on", address, "change `listen`"],
    );
    serve_refused(site, &[], &["admin socket", "stop the server that uses it", "`admin_socket`"]);
    let elsewhere = site.outside("other.sock").display().to_string();
    serve_refused(
        site,
        &[("ACQUAINT__ADMIN_SOCKET", &elsewhere)],
        &["the store is already open", "stop the other process"],
    );
    // A file in place of the socket is not removed.
    let file = site.write("precious", "content");
    serve_refused(site, &[("ACQUAINT__ADMIN_SOCKET", &file)], &["admin socket", "precious"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "content");
    stage.check_intact(&server);
    server.admin().await.get_status(GetStatusRequest::default()).await.unwrap();
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_foreign_store_is_refused_and_left_alone() {
    let stage = Stage::new();
    let site = &stage.site;
    stage.serve().await.stop();
    let store = site.path("store.redb");
    let good = fs::read(&store).unwrap();

    let middle = good.len() / 2;
    let truncated = good[..middle].to_vec();
    let overwritten = {
        let mut bytes = good.clone();
        bytes[..4_096].fill(0x5a);
        bytes
    };
    let damages =
        [truncated, overwritten, b"some other file".to_vec(), Vec::new(), vec![0; good.len()]];
    for damaged in damages {
        fs::write(&store, &damaged).unwrap();
        serve_refused(site, &[], &["the store is damaged", "restore the latest backup"]);
        assert!(fs::read(&store).unwrap() == damaged, "a refused store was written to");
    }
    fs::remove_file(&store).unwrap();
    fs::create_dir(&store).unwrap();
    serve_refused(site, &[], &["store.redb", "check path and permissions"]);
    fs::remove_dir(&store).unwrap();
    fs::write(&store, &good).unwrap();

    let other = Installation::new();
    let path = store.to_str().unwrap();
    serve_refused(
        &other,
        &[("ACQUAINT__TENANTS__DEFAULT__STORE", path)],
        &["another storage key", "start with the key directory it came with"],
    );
    let server = site.serve();
    stage.check_intact(&server);
    server.stop();
}

#[test]
fn configurations_that_cannot_be_used() {
    let site = Installation::new();
    let path = site.path("acquaint.toml");
    let good = fs::read_to_string(&path).unwrap();
    let missing = site.path("missing.toml").display().to_string();
    for command in [
        &["serve", "--config", &missing][..],
        &["key", "pin", "--config", &missing],
        &["credential", "mint", "--account", "alice", "--config", &missing],
    ] {
        refused(|| acquaint(command), &["missing.toml", "does not exist", "acquaint init"]);
    }
    for (change, words) in [
        (("delay_ms = 0", "delay_msec = 0"), ["delay_msec", "acquaint.toml"]),
        (("listen = ", "listne = "), ["listne", "acquaint.toml"]),
        (("elements = 20480", "elements = \"many\""), ["elements", "acquaint.toml"]),
        (("elements = 20480", "elements = 15"), ["quota.elements", "at least 16"]),
        (("[tenants.default]", "[tenants.\"No Name\"]"), ["[tenants.NAME]", "a-z"]),
        (("[tls]", "[tls"), ["acquaint.toml", "wrong"]),
    ] {
        let changed = good.replace(change.0, change.1);
        assert_ne!(changed, good, "{change:?}");
        fs::write(&path, changed).unwrap();
        // Port and delays come from the file here, not from the environment.
        refused(|| site.command(&["serve"]), &words);
    }
    fs::write(&path, good).unwrap();
    serve_refused(&site, &[("ACQUAINT__QUOTA__ELEMENT", "9")], &["element", "wrong"]);

    let absent = site.path("absent.pem");
    let absent = absent.to_str().unwrap();
    for name in ["ACQUAINT__TLS__CERTIFICATE", "ACQUAINT__TLS__KEY"] {
        serve_refused(&site, &[(name, absent)], &["absent.pem", "acquaint init", "`tls`"]);
    }
    let wrong = site.path("acquaint.toml");
    let wrong = [("ACQUAINT__TLS__KEY", wrong.to_str().unwrap())];
    serve_refused(&site, &wrong, &["do not make a TLS identity", "check `tls`"]);
    for time in ["", "24", "1w", "0s"] {
        let mint = ["credential", "mint", "--account", "alice", "--valid-for", time];
        refused(|| site.command(&mint), &["--valid-for", "24h"]);
    }
    site.serve().stop();
}

#[test]
fn keys_that_cannot_be_used() {
    let site = Installation::new();
    let chmod = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for name in ["oprf.seed", "storage.key", "manifest.key", "credential-1.key", "pseudonym.key"] {
        let key = site.path("keys").join(name);
        let good = fs::read(&key).unwrap();
        chmod(&key, 0o644);
        serve_refused(&site, &[], &[name, "is open to others", "chmod 600", "replace the key"]);
        chmod(&key, 0o600);
        fs::write(&key, "0123").unwrap();
        serve_refused(&site, &[], &[name, "64 hexadecimal digits", "restore it"]);
        fs::remove_file(&key).unwrap();
        serve_refused(&site, &[], &[name, "check path and owner"]);
        fs::write(&key, good).unwrap();
        chmod(&key, 0o600);
    }
    let pin = site.path("keys/manifest.key");
    chmod(&pin, 0o640);
    refused(|| site.command(&["key", "pin"]), &["manifest.key", "is open to others"]);
    chmod(&pin, 0o600);
    let credential = site.path("keys/credential-1.key");
    chmod(&credential, 0o604);
    let mint = ["credential", "mint", "--account", "alice"];
    refused(|| site.command(&mint), &["credential-1.key", "is open to others"]);
    chmod(&credential, 0o600);
    site.serve().stop();
}

/// Every file below a directory with its content.
fn content(directory: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(content(&path));
        } else {
            files.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn init_overwrites_nothing() {
    let site = Installation::new();
    let before = content(site.root());
    let directory = site.root().to_str().unwrap();
    refused(|| acquaint(&["init", directory]), &["exists", "choose another directory"]);
    assert!(content(site.root()) == before);

    // Parts of an installation stop it before it has made anything.
    for part in ["acquaint.toml", "keys/oprf.seed", "keys/credential-1.key", "tls/key.pem"] {
        let other = tempfile::tempdir().unwrap();
        let file = other.path().join(part);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "precious").unwrap();
        let directory = other.path().to_str().unwrap();
        refused(|| acquaint(&["init", directory]), &["choose another directory"]);
        assert_eq!(content(other.path()), [(file, b"precious".to_vec())]);
    }
    let file = site.path("acquaint.toml");
    let below = file.join("below");
    let below = below.to_str().unwrap();
    refused(|| acquaint(&["init", below]), &["check path"]);
    refused(|| acquaint(&["init", "unused", "--tenant", "No Name"]), &["--tenant"]);
    assert!(!Path::new("unused").exists());
    // Other files do not matter.
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("notes.txt"), "precious").unwrap();
    run(&mut acquaint(&["init", other.path().to_str().unwrap()])).ok();
    assert_eq!(fs::read(other.path().join("notes.txt")).unwrap(), b"precious");
}

/// How long a person waits for the answer to a wrong address without `--timeout`.
#[test]
fn the_default_patience_is_bounded() {
    let help: Ran = run(&mut acquaint(&["discover", "--help"])).ok();
    let (_, after) = help.stdout.split_once("--timeout <SECONDS>").unwrap();
    let (_, default) = after.split_once("[default: ").unwrap();
    let seconds: u64 = default.split(']').next().unwrap().parse().unwrap();
    assert!(Duration::from_secs(seconds) <= Duration::from_secs(30));
}
