//! The operator's whole path with the real binary: from `init` to SIGTERM.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use acquaint_proto::v1::{
    FetchLabelsRequest, FetchLabelsResponse, FetchSegmentIndexRequest, GetManifestRequest,
    GetStatusRequest, PublishRequest, discovery_service_client::DiscoveryServiceClient,
};
use serde_json::Value;
use tonic::Streaming;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::binary::{
    Installation, PATIENCE, Serving, acquaint, admin, authorized, matches, poll, run,
    run_with_input, sample,
};

/// What a prompt end may take on a busy machine.
const PROMPT: Duration = Duration::from_secs(5);

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Canonical form of the numbers in the samples, by other means than the library's.
fn plain_number(text: &str) -> Option<String> {
    let text = text.trim_start_matches("tel:").replace("(0)", "");
    let digits: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect();
    match digits.as_str() {
        "" => None,
        d if d.starts_with('+') => Some(format!("tel:{d}")),
        d if d.starts_with("00") => Some(format!("tel:+{}", &d[2..])),
        d => Some(format!("tel:+49{}", d.strip_prefix('0')?)),
    }
}

/// The plain intersection of the two sample files, sorted.
fn plain_intersection() -> Vec<(String, String)> {
    let users = fs::read_to_string(sample("users.csv")).unwrap();
    let users: BTreeMap<String, String> = users
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect::<Vec<_>>())
        .filter(|row| row[2] != "false")
        .map(|row| (row[0].to_owned(), row[1].replace('-', "")))
        .collect();
    let contacts = fs::read_to_string(sample("contacts.vcf")).unwrap();
    let mut found: Vec<_> = contacts
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter_map(|(name, value)| match name.split(';').next().unwrap() {
            "TEL" | "item1.TEL" => plain_number(value),
            "EMAIL" => Some(format!("mailto:{}", value.to_lowercase())),
            _ => None,
        })
        .filter_map(|contact| Some((contact.clone(), users.get(&contact)?.clone())))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Looks up until the answer is the expected one: publication takes its time.
#[track_caller]
fn expect_found(server: &Serving<'_>, file: &str, credential: &str, expected: &[(String, String)]) {
    let mut last = Vec::new();
    let found = poll(PATIENCE, || {
        last = server.discover(file, credential);
        (last == expected).then_some(())
    });
    assert!(found.is_some(), "found {last:?}, not {expected:?}");
}

#[test]
fn from_init_to_a_lookup_and_on() {
    let site = Installation::new();
    for key in fs::read_dir(site.path("keys")).unwrap() {
        assert_eq!(mode(&key.unwrap().path()), 0o600);
    }
    assert_eq!(mode(&site.path("keys")), 0o700);
    assert_eq!(mode(&site.path("tls/key.pem")), 0o600);
    let pin = run(&mut site.command(&["key", "pin", "--json"])).ok().json();
    assert_eq!(pin["pin"], *site.pin);
    assert_eq!(run(&mut site.command(&["key", "pin"])).ok().stdout.trim(), site.pin);

    let server = site.serve();
    assert_eq!(server.hello["pin"], *site.pin);
    assert_eq!(mode(&site.path("store.redb")), 0o600);
    let registrar = site.credential("back-end", "register");
    let alice = site.credential("alice", "discover");

    let import = ["--json", "registry", "import", &sample("users.csv")];
    let imported = run(&mut server.command(&import, &registrar)).ok().json();
    for (field, figure) in [("acknowledged", 14), ("added", 14), ("updated", 0), ("skipped", 0)] {
        assert_eq!(imported[field], figure, "{field}");
    }
    let book = sample("contacts.vcf");
    let expected = plain_intersection();
    assert_eq!(expected.len(), 9, "the samples changed");
    expect_found(&server, &book, &alice, &expected);
    // Again changes nothing.
    let imported = run(&mut server.command(&import, &registrar)).ok().json();
    assert_eq!((&imported["added"], &imported["updated"]), (&0.into(), &0.into()));

    // The same from standard input, and as text.
    let piped = ["--json", "discover", "-", "--region", "DE"];
    let vcard = fs::read(&book).unwrap();
    let found = run_with_input(&mut server.command(&piped, &alice), &vcard).ok().json();
    assert_eq!(matches(&found), expected);
    assert_eq!(found["users"], 12, "two of the fourteen are hidden");
    assert_eq!(found["skipped"].as_array().unwrap().len(), 2);
    let text = run(&mut server.command(&["discover", &book, "--region", "DE"], &alice)).ok();
    for (identifier, label) in &expected {
        let has_both = |line: &str| line.contains(identifier) && line.contains(label);
        assert!(text.stdout.lines().any(has_both), "{identifier}");
    }
    assert!(text.stdout.contains("Jörg Müller"));
    assert_eq!(text.stderr.lines().filter(|line| line.starts_with("line ")).count(), 2);

    one_account_comes_and_goes(&server, &registrar, &alice, &expected);

    server.stop();
    let server = site.serve();
    assert_eq!(server.discover(&book, &alice), expected, "after a restart");
    server.stop();
}

fn one_account_comes_and_goes(
    server: &Serving<'_>,
    registrar: &str,
    alice: &str,
    before: &[(String, String)],
) {
    let book = sample("contacts.vcf");
    let command = |arguments: &[&str]| {
        let region = ["--region", "DE", "--json"];
        run(&mut server.command(&[arguments, &region].concat(), registrar)).ok().json()
    };
    let label = "00112233445566778899aabbccddeeff";
    let register = ["registry", "register", "030 23125 024", "--label", label];
    assert_eq!(command(&register)["added"], 1);
    let mut with_one_more = before.to_vec();
    with_one_more.push(("tel:+493023125024".to_owned(), label.to_owned()));
    with_one_more.sort();
    expect_found(server, &book, alice, &with_one_more);
    assert_eq!(command(&register)["added"], 0);

    // Hidden is a change, and nobody finds the account any more.
    let hidden = command(&[&register[..], &["--hidden"]].concat());
    assert_eq!(hidden["updated"], 1);
    expect_found(server, &book, alice, before);
    assert_eq!(command(&register)["updated"], 1);
    expect_found(server, &book, alice, &with_one_more);

    let remove = ["registry", "remove", "+49 30 23125-024", "mailto:nobody@example.com"];
    let removed = command(&remove);
    assert_eq!((&removed["removed"], &removed["unknown"]), (&1.into(), &1.into()));
    expect_found(server, &book, alice, before);
    assert_eq!(command(&remove)["removed"], 0);
}

#[test]
fn variables_override_the_file_and_arguments_override_both() {
    let site = Installation::new();
    let server = site.serve_with(&[("ACQUAINT__AUDIENCE", "elsewhere")]);
    let alice = site.credential("alice", "discover");
    let lookup = ["discover", "--json", &sample("contacts.csv"), "--region", "DE"];
    let refused = run(&mut server.command(&lookup, &alice)).error();
    assert!(refused.contains("not valid for this server"), "{refused}");

    // Everything that a client needs can come from the environment.
    let mint = ["credential", "mint", "--account", "alice"];
    let minted = run(site.command(&mint).env("ACQUAINT__AUDIENCE", "elsewhere")).ok();
    let other = site.write("other.cred", minted.stdout);
    let mut command = acquaint(&lookup);
    command
        .env("ACQUAINT_SERVER", &server.url)
        .env("ACQUAINT_PIN", &site.pin)
        .env("ACQUAINT_CA", site.path("tls/certificate.pem"))
        .env("ACQUAINT_CREDENTIAL_FILE", other);
    assert_eq!(run(&mut command).ok().json()["users"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_delay_the_end() {
    let site = Installation::new();
    let mut server = site.serve();
    let alice = site.mint("alice", "discover", "1h");
    let mut idle = Vec::new();
    for _ in 0..5 {
        let mut client = server.discovery().await;
        client.get_manifest(authorized(GetManifestRequest::default(), &alice)).await.unwrap();
        idle.push(client);
    }
    // One that has not even begun its handshake.
    let (_, port) = server.url.rsplit_once(':').unwrap();
    let silent = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    server.signal("TERM");
    assert_eq!(server.wait(PROMPT), Some(0));
    assert!(server.log().contains("\"drained\""), "{}", server.log());
    drop((idle, silent));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_the_health_hears_the_end_and_does_not_delay_it() {
    let site = Installation::new();
    let mut server = site.serve();
    // A load balancer's watch lasts as long as the server. Several, each on a connection of its
    // own: what is cut off before its last words have gone out is a matter of luck.
    let mut watches = Vec::new();
    for _ in 0..12 {
        let mut health = HealthClient::new(server.channel().await);
        let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
        watches.push(watch);
    }
    server.signal("TERM");
    for mut watch in watches {
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
        assert_eq!(watch.message().await.unwrap(), None);
    }
    assert_eq!(server.wait(PROMPT), Some(0));
}

/// Opens a download and does not read it: the window of the stream fills up, and it stays open.
async fn half_open_download(
    site: &Installation,
    server: &Serving<'_>,
) -> Streaming<FetchLabelsResponse> {
    let rows = (0..200).map(|i| format!("tel:+999{i:010},{i:032x}\n"));
    let list = site.write("users.csv", format!("identifier,label\n{}", rows.collect::<String>()));
    let registrar = site.credential("back-end", "register");
    run(&mut server.command(&["registry", "import", &list], &registrar)).ok();
    let published =
        server.admin().await.publish(PublishRequest::default()).await.unwrap().into_inner();
    assert_eq!(published.members, 200);

    let alice = site.mint("alice", "discover", "1h");
    let channel = server.endpoint().initial_stream_window_size(1_024).connect().await.unwrap();
    let request =
        FetchLabelsRequest { snapshot: published.snapshot, first_segment: 0, first_offset: 0 };
    let mut client = DiscoveryServiceClient::new(channel);
    client.fetch_labels(authorized(request, &alice)).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_download_is_cut_off_at_the_deadline() {
    let site = Installation::new();
    let mut server = site.serve_with(&[("ACQUAINT__DRAIN__DEADLINE_MS", "300")]);
    let download = half_open_download(&site, &server).await;
    let start = Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait(PROMPT), Some(1));
    assert!(start.elapsed() >= Duration::from_millis(300));
    server.wait_for_log("drain deadline passed");
    drop(download);
    // Nothing is lost.
    let server = site.serve();
    let status = server.admin().await.get_status(GetStatusRequest::default()).await.unwrap();
    assert_eq!(status.into_inner().entries, 200);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_download_is_finished_before_the_deadline() {
    let site = Installation::new();
    let mut server = site.serve();
    let mut download = half_open_download(&site, &server).await;
    server.signal("TERM");
    server.wait_for_log("draining");
    let mut n_bytes = 0;
    while let Some(piece) = download.message().await.unwrap() {
        n_bytes += piece.data.len();
    }
    assert_eq!(n_bytes, 200 * 32);
    assert_eq!(server.wait(PROMPT), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    let site = Installation::new();
    let mut server = site.serve_with(&[("ACQUAINT__DRAIN__DEADLINE_MS", "60000")]);
    let download = half_open_download(&site, &server).await;
    server.signal("INT");
    server.wait_for_log("draining");
    server.signal("TERM");
    assert_eq!(server.wait(PROMPT), Some(1));
    assert!(server.log().contains("second signal"));
    drop(download);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_not_serving_while_the_port_still_answers() {
    let site = Installation::new();
    let mut server = site.serve_with(&[("ACQUAINT__DRAIN__DELAY_MS", "1000")]);
    let alice = site.mint("alice", "discover", "1h");
    let mut health = HealthClient::new(server.channel().await);
    let services = ["", "acquaint.v1.DiscoveryService", "acquaint.v1.RegistryService"];
    for service in services.map(str::to_owned) {
        let answer = health.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    }
    server.signal("TERM");
    server.wait_for_log("draining");
    for service in services.map(str::to_owned) {
        let told = async {
            loop {
                let request = HealthCheckRequest { service: service.clone() };
                let status = health.check(request).await.unwrap().into_inner().status();
                if status == ServingStatus::NotServing {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_millis(900), told).await.unwrap();
    }
    // Who has not taken notice yet is still served, over new connections too.
    let mut late = server.discovery().await;
    late.get_manifest(authorized(GetManifestRequest::default(), &alice)).await.unwrap();
    assert_eq!(server.wait(PROMPT), Some(0));
    assert!(health.check(HealthCheckRequest::default()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_socket_answers_and_outlives_a_kill() {
    let site = Installation::new();
    // Nothing is published by itself within this test.
    let slow = [("ACQUAINT__PUBLICATION__DELAY_MS", "3600000")];
    let mut server = site.serve_with(&slow);
    assert_eq!(mode(&site.path("admin.sock")), 0o600);
    let registrar = site.credential("back-end", "register");
    let import = ["registry", "import", &sample("users.csv")];
    run(&mut server.command(&import, &registrar)).ok();

    let mut operator = server.admin().await;
    let status = operator.get_status(GetStatusRequest::default()).await.unwrap().into_inner();
    assert_eq!((status.tenant.as_str(), status.entries, status.members), ("default", 14, 0));
    assert!(status.version > status.published_version);
    assert_eq!(status.evaluated_elements, 14);
    let published = operator.publish(PublishRequest::default()).await.unwrap().into_inner();
    assert_eq!((published.members, published.snapshot), (12, status.snapshot + 1));
    let status = operator.get_status(GetStatusRequest::default()).await.unwrap().into_inner();
    assert_eq!((status.members, status.version), (12, status.published_version));

    // Only on the socket: the port does not know the service.
    let on_the_port =
        acquaint_proto::v1::admin_service_client::AdminServiceClient::new(server.channel().await)
            .get_status(GetStatusRequest::default())
            .await;
    assert_eq!(on_the_port.unwrap_err().code(), tonic::Code::Unimplemented);

    server.kill();
    let server = site.serve_with(&slow);
    let status = server.admin().await.get_status(GetStatusRequest::default()).await.unwrap();
    assert_eq!(status.into_inner().members, 12);
    server.stop();
    // After a clean stop as well, and a path of one's own.
    let elsewhere = site.path("operator.sock");
    let server = site.serve_with(&[("ACQUAINT__ADMIN_SOCKET", elsewhere.to_str().unwrap())]);
    assert_eq!(mode(&elsewhere), 0o600);
    admin(&elsewhere).await.get_status(GetStatusRequest::default()).await.unwrap();
    server.stop();
}

/// The object of a demo that went well.
#[track_caller]
fn demo(arguments: &[&str]) -> Value {
    let ran = run(&mut acquaint(&[&["demo", "--json"], arguments].concat())).ok();
    let shown = ran.json();
    assert_eq!(shown["matches"], shown["expected_matches"], "{ran:?}");
    assert_eq!(shown["false_matches"], 0, "{ran:?}");
    shown
}

#[test]
fn the_demo_measures_everything_that_it_promises() {
    let shown = demo(&["--users", "2000"]);
    let fields = [
        "users",
        "contacts",
        "matches",
        "expected_matches",
        "register_ms",
        "manifest_ms",
        "evaluate_ms",
        "set_ms",
        "labels_ms",
        "total_ms",
        "bytes_up",
        "bytes_down",
        "set_bytes",
        "set_bytes_per_user",
    ];
    for field in fields {
        assert!(shown[field].as_f64().is_some_and(|figure| figure > 0.0), "{field}: {shown}");
    }
    assert_eq!(shown["users"], 2_000);
    assert!(shown["set_bytes_per_user"].as_f64().unwrap() < 3.0);
    let up = shown["bytes_up"].as_u64().unwrap();
    let elements = shown["elements"].as_u64().unwrap();
    assert!(up > elements * 32, "the elements alone take more than {up} bytes");
    let seen = shown["blinded_sample"].as_array().unwrap();
    assert!(!seen.is_empty() && seen.iter().all(|e| e.as_str().unwrap().len() == 64));
}

#[test]
fn the_demo_takes_other_contacts() {
    let own = demo(&["--users", "50", "--contacts", &sample("contacts.csv"), "--region", "DE"]);
    assert_eq!((&own["contacts"], &own["skipped"]), (&12.into(), &0.into()));
    let generated = demo(&["--users", "500", "--synthetic-contacts", "300", "--seed", "7"]);
    assert_eq!(generated["contacts"], 300);
    assert_eq!(generated["seed"], 7);
    assert!((100..200).contains(&generated["matches"].as_u64().unwrap()));
    let none = demo(&["--users", "0"]);
    assert_eq!((&none["users"], &none["matches"]), (&0.into(), &0.into()));
}

#[test]
fn the_demo_tells_people_what_happened() {
    let text = run(&mut acquaint(&["demo", "--users", "100", "--seed", "1"])).ok().stdout;
    for words in [
        "contacts are registered",
        "Over the wire",
        "uniformly random points",
        "It saw nothing else",
        "Time: register",
        "A plain intersection of both lists gives the same",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

/// Every command below this one, as the help lists them, with the long help of each.
fn explained(command: &[&str]) -> Vec<(String, String)> {
    let short = run(&mut acquaint(&[command, &["-h"]].concat())).ok();
    let long = run(&mut acquaint(&[command, &["--help"]].concat())).ok();
    assert!(long.stdout.contains("Usage: acquaint"), "{command:?}");
    assert!(long.stdout.contains("--json"), "{command:?}");
    assert!(long.stderr.is_empty() && short.stderr.is_empty());
    for line in short.stdout.lines().filter(|line| line.trim_start().starts_with('-')) {
        // Option, two spaces, what it is for.
        let (_, purpose) = line.trim().split_once("  ").unwrap_or_default();
        assert!(!purpose.trim().is_empty(), "{command:?} does not explain: {line}");
    }
    let (_, listed) = short.stdout.split_once("Commands:\n").unwrap_or_default();
    let listed = listed.lines().take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.split_whitespace().next());
    let mut all = vec![(command.join(" "), long.stdout)];
    for name in names.filter(|name| *name != "help") {
        all.extend(explained(&[command, &[name]].concat()));
    }
    all
}

#[test]
fn every_command_explains_itself() {
    let commands = explained(&[]);
    assert!(commands.len() >= 13, "{commands:?}");
    let init = tempfile::tempdir().unwrap();
    let next = run(&mut acquaint(&["init", init.path().to_str().unwrap()])).ok().stdout;
    let template = fs::read_to_string(init.path().join("acquaint.toml")).unwrap();
    let is_command = |words: &str| commands.iter().any(|(command, _)| command == words);
    for text in commands.iter().map(|(_, text)| text).chain([&next, &template]) {
        // Commands that are mentioned exist.
        let mentions = text
            .split("`acquaint ")
            .skip(1)
            .chain(text.lines().filter_map(|line| line.trim_start().strip_prefix("acquaint ")));
        for mention in mentions {
            let mut words = mention.split(['`', '\n']).next().unwrap().split(' ');
            let mut name = words.next().unwrap().to_owned();
            if commands.iter().any(|(command, _)| command.starts_with(&format!("{name} "))) {
                name = format!("{name} {}", words.next().unwrap());
            }
            assert!(is_command(&name), "no such command: {mention}");
        }
        // Words of the implementation mean nothing to an operator.
        let text = text.replace("store.redb", "");
        for word in ["redb", "rayon", "tonic", "tokio", "DLEQ", "clap", "TODO", "figment"] {
            assert!(!text.contains(word), "{word}: {text}");
        }
    }
    assert!(run(&mut acquaint(&["--version"])).ok().stdout.starts_with("acquaint 0."));
}

/// S7: two processes with equal keys that were told the same publish the same bytes.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_publish_the_same_bytes() {
    let mut sites = [Installation::new(), Installation::new()];
    sites[1].pin = sites[0].pin.clone();
    for entry in fs::read_dir(sites[0].path("keys")).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), sites[1].path("keys").join(entry.file_name())).unwrap();
    }
    let mut published = Vec::new();
    for site in &sites {
        let server = site.serve_with(&[("ACQUAINT__PUBLICATION__DELAY_MS", "3600000")]);
        let registrar = site.credential("back-end", "register");
        run(&mut server.command(&["registry", "import", &sample("users.csv")], &registrar)).ok();
        let mut operator = server.admin().await;
        let snapshot =
            operator.publish(PublishRequest::default()).await.unwrap().into_inner().snapshot;
        let alice = site.mint("alice", "discover", "1h");
        let mut client = DiscoveryServiceClient::new(server.channel().await);
        let request = FetchSegmentIndexRequest { snapshot };
        let index = client.fetch_segment_index(authorized(request, &alice)).await.unwrap();
        let index = index.into_inner().index;
        assert_eq!(index.len(), 8 + 72);
        published.push((snapshot, index));
        server.stop();
    }
    // The index has the digests of everything; the manifest also the seconds of the changes.
    assert!(published[0] == published[1]);
}

/// Z2: the memory of a server ends in no core file, and its descriptors are enough.
#[test]
fn a_server_leaves_no_core_file_and_may_have_many_connections() {
    let site = Installation::new();
    let server = site.serve();
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let fields = |name: &str| -> Vec<String> {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().take(2).map(str::to_owned).collect()
    };
    assert_eq!(fields("Max core file size"), ["0", "0"]);
    let [soft, hard] = &fields("Max open files")[..] else { panic!("{limits}") };
    assert_eq!(soft, hard);
    server.stop();
}
