//! Credentials from the back end's side: minted by the documented code, replaced keys, refusals.

use std::{
    env, fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use acquaint_client::{StaticCredential, Visibility};
use acquaint_core::{
    credential::{Claims, Credential, Scope},
    keys::CredentialKey,
};
use acquaint_proto::{
    Reason, Received,
    v1::{GetManifestRequest, GetQuotaRequest},
};
use acquaint_server::{
    clock::ManualClock,
    keystore::{CredentialKeyFiles, Keys},
};
use data_encoding::HEXLOWER;
use rand::RngExt as _;
use serde_json::{Value, json};
use tonic::{Code, Request, Status};

use crate::{
    binary::{Installation, run},
    world::{Site, World, authorized, book, found, oracle, seeded, users},
};

const DOCUMENT: &str = include_str!("../../docs/CREDENTIALS.md");
const VECTORS: &str = include_str!("../../core/vectors/credential.json");

/// Reads vectors on standard input; prints a text for each that is minted, and a pseudonym for
/// each account.
const PYTHON_DRIVER: &str = r#"
import json, sys
v = json.load(sys.stdin)
scopes = {"discover": 1, "register": 2, "admin": 3}
print(json.dumps({
    "minted": [mint(bytes.fromhex(m["key"]), m["key_id"], scopes[m["scope"]],
                    bytes.fromhex(m["pseudonym"]), m["tenant"], m["audience"], m["issued_at"],
                    m["expires_at"], m["class"], m["account_since"]) for m in v["minted"]],
    "pseudonyms": [pseudonym_of(bytes.fromhex(v["pseudonym_key"]), p["account"]).hex()
                   for p in v["pseudonyms"]],
}))
"#;

/// As above. Numbers past 2^53 become strings before they are parsed.
const NODE_DRIVER: &str = r#"
const text = require("node:fs").readFileSync(0, "utf8").replace(/:\s*(\d{16,})/g, ':"$1"');
const scopes = { discover: 1, register: 2, admin: 3 };
console.log(JSON.stringify({ minted: JSON.parse(text).minted.map((m) => mint({
  key: Buffer.from(m.key, "hex"), keyId: m.key_id, scope: scopes[m.scope],
  pseudonym: Buffer.from(m.pseudonym, "hex"), tenant: m.tenant, audience: m.audience,
  issuedAt: m.issued_at, expiresAt: m.expires_at, accountClass: m.class,
  accountSince: m.account_since })) }));
"#;

/// The block of a language in the document.
fn block(language: &str) -> &'static str {
    let opening = format!("```{language}\n");
    let mut blocks = DOCUMENT.split(&opening).skip(1);
    let block = blocks.next().and_then(|rest| rest.split("\n```").next()).unwrap();
    assert!(blocks.next().is_none(), "one block of {language}");
    block
}

/// Runs a documented block with a driver on vectors; none if the interpreter is missing.
fn interpret(command: &[&str], block: &str, driver: &str, vectors: &str) -> Option<Value> {
    let (program, flag) = (command[0], command[1]);
    let script = format!("{block}\n{driver}");
    let mut child = Command::new(program)
        .args([flag, &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take().unwrap().write_all(vectors.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// What the documented Python code makes of vectors. Without Python this is skipped, but for CI.
fn python(vectors: &str) -> Option<Value> {
    let printed = interpret(&["python3", "-c"], block("python"), PYTHON_DRIVER, vectors);
    if printed.is_none() {
        assert!(env::var_os("CI").is_none(), "python3 is missing: install it, as .ci/run does");
        println!("SKIPPED: python3 is missing, so docs/CREDENTIALS.md is not checked");
    }
    printed
}

fn texts<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    let texts: Vec<_> =
        list.as_array().unwrap().iter().map(|v| v[field].as_str().unwrap()).collect();
    assert!(!texts.is_empty());
    texts
}

#[test]
fn the_documented_code_reproduces_the_vectors() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let minted = texts(&vectors["minted"], "text");
    if let Some(printed) = python(VECTORS) {
        assert_eq!(printed["minted"], json!(minted));
        assert_eq!(printed["pseudonyms"], json!(texts(&vectors["pseudonyms"], "pseudonym")));
    }
    match interpret(&["node", "-e"], block("js"), NODE_DRIVER, VECTORS) {
        Some(printed) => assert_eq!(printed["minted"], json!(minted)),
        None => println!("SKIPPED: node is missing, so its code in the document is not checked"),
    }
    let shown = DOCUMENT.rsplit("```text\n").next().unwrap().split('\n').next().unwrap();
    assert_eq!(shown, minted[0], "the document shows the first vector");
}

/// A back end that knows nothing but the document and the key files.
#[tokio::test(flavor = "multi_thread")]
async fn a_credential_of_the_documented_code_looks_up() {
    let world = World::start().await;
    let site = &world.site;
    let registered = users(0..60);
    world.register(&registered, Visibility::Discoverable).await;
    let hex = |name: &str| fs::read_to_string(site.path("keys").join(name)).unwrap();
    let claims = site.claims("alice", Scope::Discover);
    let mint = |pseudonym: &str| {
        let vectors = json!({
            "pseudonym_key": hex("pseudonym.key").trim(),
            "pseudonyms": [{ "account": "alice" }],
            "minted": [{
                "key": hex("credential-1.key").trim(), "key_id": 1, "scope": "discover",
                "class": 0, "issued_at": crate::world::now_s(), "expires_at": claims.expires_at,
                "account_since": 0, "pseudonym": pseudonym,
                "tenant": "default", "audience": site.config.audience,
            }],
        });
        python(&vectors.to_string())
    };
    let Some(first) = mint(&"00".repeat(16)) else { return };
    let pseudonym = first["pseudonyms"][0].as_str().unwrap();
    assert_eq!(pseudonym, HEXLOWER.encode(&claims.pseudonym.0));
    let minted = mint(pseudonym).unwrap();
    let text = minted["minted"][0].as_str().unwrap();

    let credential = StaticCredential::new(Credential::from_text(text));
    let client = world.client_builder("nobody").credentials(credential).build().unwrap();
    let book = book((40..80).chain([7]));
    let outcome = client.sync(&book, |_| {}).await.unwrap();
    assert_eq!(found(&outcome), oracle(&book, &registered));
    // It was charged to the same account as one that Rust mints.
    let left = outcome.quota.unwrap().remaining;
    assert!(left < site.config.quota.elements);
    assert_eq!(remaining(&world, &site.credential("alice", Scope::Discover)).await, Ok(left));
}

async fn remaining(world: &World, credential: &Credential) -> Result<u64, Reason> {
    let request = authorized(credential, GetQuotaRequest {});
    match world.discovery().get_quota(request).await {
        Ok(answer) => Ok(answer.into_inner().quota.unwrap().remaining),
        Err(status) => Err(Received::from(&status).reason.unwrap()),
    }
}

/// Old and new key open side by side and charge the same account; a retired one opens nothing, and
/// nobody's quota is refilled by it.
#[tokio::test(flavor = "multi_thread")]
async fn one_key_replaces_another_without_refusing_anybody() {
    let mut site = Site::new();
    site.config.quota.refill_per_day = 0;
    let files = CredentialKeyFiles::new(&site.config.tenants["default"].keys);
    let added = files.add(&mut rand::rng()).unwrap();
    let keys = Keys::load(&site.config.tenants["default"].keys).unwrap();
    assert_eq!((added, keys.credentials.len()), (2, 2));
    let minted = |id: u32, key: &CredentialKey| {
        let claims = site.claims("alice", Scope::Discover);
        Credential::mint(key, &Claims { key_id: id, ..claims })
    };
    let credentials: Vec<_> = keys.credentials.iter().map(|(id, key)| minted(*id, key)).collect();
    let [old, new] = &credentials[..] else { panic!("two keys") };

    let world = site.start().await;
    let registered = users(0..60);
    world.register(&registered, Visibility::Discoverable).await;
    let book = book(50..70);
    let mut left = world.site.config.quota.elements;
    for credential in [old, new] {
        let credential = StaticCredential::new(credential.clone());
        let client = world.client_builder("nobody").credentials(credential).build().unwrap();
        let outcome = client.sync(&book, |_| {}).await.unwrap();
        assert_eq!(found(&outcome), oracle(&book, &registered));
        left -= outcome.report.elements as u64;
    }
    for credential in [old, new] {
        assert_eq!(remaining(&world, credential).await, Ok(left), "one account, one quota");
    }

    let site = world.stop().await;
    files.retire(1, &mut rand::rng()).unwrap();
    let world = site.start().await;
    assert_eq!(remaining(&world, old).await, Err(Reason::CredentialInvalid));
    assert_eq!(remaining(&world, new).await, Ok(left), "a rotation refills nothing");
}

/// T5: key, tenant, audience, time, form: all refused alike. Expired is another reason, and
/// authentic ones learn it only.
#[tokio::test]
async fn all_refusals_are_the_same_but_for_expired_ones() {
    let mut rng = seeded("all_refusals_are_the_same_but_for_expired_ones");
    let now = 1_900_000_000;
    let clock = Arc::new(ManualClock::at_ms(now * 1_000));
    let world = Site::new().start_with_clock(clock).await;
    let (_, key) = world.site.keys.newest_credential().unwrap();
    let claims = Claims {
        issued_at: now - 10,
        expires_at: now + 10,
        ..world.site.claims("alice", Scope::Discover)
    };
    let good = Credential::mint(key, &claims).expose_text().to_owned();
    let ask = |text: String| {
        let mut request = Request::new(GetManifestRequest::default());
        let value = format!("Bearer {text}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        let mut discovery = world.discovery();
        async move { discovery.get_manifest(request).await.map(|_| ()) }
    };
    assert!(ask(good.clone()).await.is_ok(), "the control");

    let with = |key: &CredentialKey, change: &dyn Fn(&mut Claims)| {
        let mut changed = claims.clone();
        change(&mut changed);
        Credential::mint(key, &changed).expose_text().to_owned()
    };
    let foreign = CredentialKey::generate(&mut rng);
    let decoy = CredentialKey::from_bytes([0; 32]);
    let mut forged = vec![
        String::new(),
        "A".repeat(256),
        "A".repeat(257),
        good[..good.len() - 1].to_owned(),
        good[1..].to_owned(),
        format!("{good}A"),
        format!("{good}=="),
        with(&foreign, &|_| ()),
        with(&foreign, &|c| c.expires_at = now),
        with(&decoy, &|c| c.key_id = 2),
        with(&decoy, &|c| c.tenant = "other".parse().unwrap()),
        with(key, &|c| c.key_id = 2),
        with(key, &|c| c.key_id = 0),
        with(key, &|c| c.tenant = "other".parse().unwrap()),
        with(key, &|c| c.audience = "staging".parse().unwrap()),
        with(key, &|c| {
            c.audience = "staging".parse().unwrap();
            c.expires_at = now;
        }),
        with(key, &|c| {
            c.issued_at = now + 61;
            c.expires_at = now + 600;
        }),
        with(key, &|c| c.issued_at = c.expires_at),
        with(key, &|c| (c.issued_at, c.expires_at) = (now - 5, now - 5)),
    ];
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    forged.extend(texts(&vectors["minted"], "text").iter().map(|&text| text.to_owned()));
    for _ in 0..32 {
        let mut flipped = good.clone().into_bytes();
        let position = rng.random_range(0..flipped.len());
        flipped[position] = if flipped[position] == b'A' { b'Q' } else { b'A' };
        forged.push(String::from_utf8(flipped).unwrap());
    }
    for text in forged {
        let status = ask(text.clone()).await.unwrap_err();
        assert_eq!(content(&status), refusal(Reason::CredentialInvalid), "{text}");
    }
    for expires_at in [now, now - 1, now - 9] {
        let expired = with(key, &|c| c.expires_at = expires_at);
        let status = ask(expired).await.unwrap_err();
        assert_eq!(content(&status), refusal(Reason::CredentialExpired));
    }
    let skewed = with(key, &|c| (c.issued_at, c.expires_at) = (now + 60, now + 600));
    assert!(ask(skewed).await.is_ok(), "a back end whose clock is ahead");
}

/// Everything of a refusal that reaches the caller.
fn content(status: &Status) -> (Code, String, Vec<u8>) {
    (status.code(), status.message().to_owned(), status.details().to_vec())
}

/// The constant answer for a reason.
fn refusal(reason: Reason) -> (Code, String, Vec<u8>) {
    content(&Status::from(acquaint_proto::Refusal::from(reason)))
}

/// The operator's path with the real binary: add, mint, list, retire, and what is refused.
#[test]
fn the_commands_replace_a_key() {
    let site = Installation::new();
    let json = |arguments: &[&str]| run(site.command(arguments).arg("--json")).ok().json();
    let kept = |expected: &[(u32, bool)]| {
        let listed = json(&["credential", "key", "list"]);
        let expected: Vec<_> =
            expected.iter().map(|(id, mints)| json!({ "id": id, "mints": mints })).collect();
        assert_eq!(listed["keys"], json!(expected));
    };
    let mint = |more: &[&str]| {
        let arguments = [&["credential", "mint", "--account", "alice"], more].concat();
        let minted = json(&arguments);
        (minted["key_id"].clone(), minted["credential"].as_str().unwrap().to_owned())
    };
    kept(&[(1, true)]);
    let (first_id, first) = mint(&[]);
    assert_eq!(first_id, 1);

    let added = json(&["credential", "key", "add"]);
    assert_eq!(added["id"], 2);
    assert!(Path::new(added["file"].as_str().unwrap()).ends_with("keys/credential-2.key"));
    kept(&[(1, false), (2, true)]);
    assert_eq!(mint(&[]).0, 2);
    assert_eq!(mint(&["--key-id", "1"]).0, 1);
    let text = run(&mut site.command(&["credential", "key", "add"])).ok().stdout;
    for part in ["credential-3.key", "SIGHUP", "back end", "credential key retire"] {
        assert!(text.contains(part), "{text}");
    }

    // What was minted is what the keys verify.
    let since = ["--class", "7", "--account-since", "1700000000", "--scope", "admin"];
    let (_, admin) = mint(&since);
    let verified = |text: &str| {
        let keys = Keys::load(&site.path("keys")).unwrap().credentials;
        let tenants = [("default".parse().unwrap(), keys)];
        acquaint_core::credential::CredentialVerifier::new("acquaint".parse().unwrap(), tenants)
            .verify(text, crate::world::now_s())
    };
    let claims = verified(&admin).unwrap();
    assert_eq!(
        (claims.scope, claims.class, claims.account_since),
        (Scope::Admin, 7, 1_700_000_000)
    );
    assert_eq!(claims.pseudonym, verified(&first).unwrap().pseudonym, "whatever the key");

    let text = run(&mut site.command(&["credential", "key", "retire", "1"])).ok().stdout;
    assert!(text.contains("SIGHUP"), "{text}");
    kept(&[(2, false), (3, true)]);
    assert!(verified(&first).is_err());
    json(&["credential", "key", "retire", "3"]);

    let refused = |arguments: &[&str], parts: &[&str]| {
        let message = run(&mut site.command(arguments)).error();
        for part in parts {
            assert!(message.contains(part), "{message}");
        }
    };
    refused(&["credential", "key", "retire", "2"], &["the only credential key", "add another"]);
    refused(&["credential", "key", "retire", "9"], &["credential-9.key", "credential key list"]);
    let mint = ["credential", "mint", "--account", "alice", "--key-id", "1"];
    refused(&mint, &["no credential key with this id", "credential key list"]);
    kept(&[(2, true)]);
    let former = site.path("keys/credential.key");
    fs::rename(site.path("keys/credential-2.key"), &former).unwrap();
    for arguments in [&mint[..4], &["credential", "key", "list"], &["serve"]] {
        refused(arguments, &["credential.key", "rename it to credential-1.key"]);
    }
    fs::rename(former, site.path("keys/credential-1.key")).unwrap();
    kept(&[(1, true)]);
    site.serve().stop();
}
