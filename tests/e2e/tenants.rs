//! Several tenants on one server: they share the port and nothing else (A2, A3).

use std::{
    collections::{HashMap, HashSet},
    fs,
};

use acquaint_client::{Client, ClientError, Registrar, StaticCredential, Visibility};
use acquaint_core::credential::Scope;
use acquaint_proto::{
    Reason, Received,
    v1::{EvaluateRequest, FetchSetRequest, GetManifestRequest, GetQuotaRequest},
};
use rand_chacha::rand_core::Rng as _;
use serde_json::{Value, json};
use tonic::Status;

use crate::{
    authority::Authority,
    binary::{Installation, acquaint, matches, run},
    world::{
        Site, World, authorized, book, collect, elements, found, label, number, oracle, seeded,
    },
};

const TENANTS: [&str; 2] = ["default", "other"];

async fn two() -> World {
    let mut site = Site::new();
    site.config.publication.delay_ms = 3_600_000;
    site.add_tenant("other");
    site.start().await
}

fn client(world: &World, tenant: &str, account: &str) -> Client {
    let credential = world.site.credential_of(tenant, account, Scope::Discover);
    Client::builder(&world.url)
        .pin(world.site.keys_of(tenant).manifest.pin())
        .trust_root_pem(world.site.root.as_bytes())
        .credentials(StaticCredential::new(credential))
        .build()
        .unwrap()
}

fn registrar(world: &World, tenant: &str) -> Registrar {
    let credential = world.site.credential_of(tenant, "back-end", Scope::Register);
    Registrar::builder(&world.url)
        .pin(world.site.keys_of(tenant).manifest.pin())
        .trust_root_pem(world.site.root.as_bytes())
        .credentials(StaticCredential::new(credential))
        .build()
        .unwrap()
}

async fn evaluate(
    world: &World,
    tenant: &str,
    account: &str,
    batch: Vec<u8>,
) -> Result<Vec<u8>, Status> {
    let credential = world.site.credential_of(tenant, account, Scope::Discover);
    let message = EvaluateRequest { epoch: 1, blinded_elements: batch.into() };
    let answer = world.discovery().evaluate(authorized(&credential, message)).await?;
    Ok(answer.into_inner().evaluated_elements.to_vec())
}

async fn remaining(world: &World, tenant: &str, account: &str) -> u64 {
    let credential = world.site.credential_of(tenant, account, Scope::Discover);
    let answer = world.discovery().get_quota(authorized(&credential, GetQuotaRequest {})).await;
    answer.unwrap().into_inner().quota.unwrap().remaining
}

/// Each tenant's client finds that tenant's users, and the published sets have nothing in common.
#[tokio::test]
async fn each_tenant_finds_its_own() {
    let mut rng = seeded("each_tenant_finds_its_own");
    let world = two().await;
    let mut users = HashMap::new();
    for (i, tenant) in TENANTS.into_iter().enumerate() {
        // Every number in both: with another label, and some in one only.
        let own: HashMap<_, _> = (0..300)
            .filter(|_| !rng.next_u32().is_multiple_of(3))
            .map(|n| (number(n), label(n + 1_000 * i as u64)))
            .collect();
        let rows: Vec<_> = own.iter().map(|(id, label)| (id.clone(), label.clone())).collect();
        let registrar = registrar(&world, tenant);
        registrar.register(rows.into_iter(), Visibility::Discoverable, |_| {}).await.unwrap();
        world.publish_tenant(tenant).await;
        users.insert(tenant, own);
    }
    let book = book(100..400);
    for tenant in TENANTS {
        let outcome = client(&world, tenant, "alice").sync(&book, |_| {}).await.unwrap();
        assert_eq!(found(&outcome), oracle(&book, &users[tenant]), "{tenant}");
    }
    world.stop().await;
}

/// A3: the same number under two tenants is two unrelated elements.
#[tokio::test]
async fn the_same_element_is_evaluated_to_others() {
    let world = two().await;
    let batch = elements(0..64);
    let [a, b] = [
        evaluate(&world, "default", "alice", batch.clone()).await.unwrap(),
        evaluate(&world, "other", "alice", batch.clone()).await.unwrap(),
    ];
    let a: HashSet<_> = a.chunks(32).collect();
    let b: HashSet<_> = b.chunks(32).collect();
    assert_eq!((a.len(), b.len()), (64, 64));
    assert!(a.is_disjoint(&b));
    world.stop().await;
}

/// The account "alice" of one tenant is another than that of the other, with another quota.
#[tokio::test]
async fn quotas_and_limits_are_each_tenants_own() {
    let mut site = Site::new();
    site.config.quota.elements = 64;
    site.config.quota.refill_per_day = 0;
    site.add_tenant("other");
    let other = site.config.tenants.get_mut("other").unwrap();
    other.quota.elements = Some(1_000);
    other.entries_max = Some(10);
    let world = site.start().await;
    evaluate(&world, "default", "alice", elements(0..64)).await.unwrap();
    assert_eq!(remaining(&world, "default", "alice").await, 0);
    assert_eq!(remaining(&world, "other", "alice").await, 1_000);
    let status = evaluate(&world, "default", "alice", elements(64..80)).await.unwrap_err();
    assert_eq!(Received::from(&status).reason, Some(Reason::QuotaExhausted));
    evaluate(&world, "other", "alice", elements(64..80)).await.unwrap();
    assert_eq!(remaining(&world, "other", "alice").await, 984);

    // Ten entries fit, and eleven do not; the first tenant has room.
    let rows = |n: u64| (0..n).map(|i| (number(i), label(i))).collect::<Vec<_>>().into_iter();
    let visible = Visibility::Discoverable;
    let refused = registrar(&world, "other").register(rows(11), visible, |_| {}).await;
    assert!(matches!(refused.unwrap_err().source, ClientError::DirectoryFull));
    registrar(&world, "other").register(rows(10), visible, |_| {}).await.unwrap();
    registrar(&world, "default").register(rows(11), visible, |_| {}).await.unwrap();
    world.stop().await;
}

/// A2: what belongs to another tenant is refused as what does not exist.
#[tokio::test]
async fn nothing_of_another_tenant_can_be_told_from_nothing() {
    let world = two().await;
    for _ in 0..3 {
        let rows = (0..5).map(|i| (number(i), label(i))).collect::<Vec<_>>().into_iter();
        registrar(&world, "other").register(rows, Visibility::Discoverable, |_| {}).await.unwrap();
        world.publish_tenant("other").await;
    }
    let own = world.site.credential_of("default", "alice", Scope::Discover);
    let other = world.site.credential_of("other", "alice", Scope::Discover);
    let manifest = async |credential| {
        let request = authorized(credential, GetManifestRequest::default());
        world.discovery().get_manifest(request).await.unwrap().into_inner().manifest.unwrap()
    };
    assert_ne!(manifest(&own).await.content, manifest(&other).await.content);

    let fetch = async |credential, snapshot| {
        let message = FetchSetRequest { snapshot, ..FetchSetRequest::default() };
        match world.discovery().fetch_set(authorized(credential, message)).await {
            Ok(answer) => collect(answer.into_inner()).await,
            Err(status) => Err(status),
        }
    };
    // The other tenant's snapshot may have a number that this one's has, too; never its content.
    for snapshot in 0..8 {
        let (mine, theirs) = (fetch(&own, snapshot).await, fetch(&other, snapshot).await);
        if let (Ok(mine), Ok(theirs)) = (&mine, &theirs) {
            let bytes = |chunks: &[acquaint_proto::v1::FetchSetResponse]| {
                chunks.iter().flat_map(|chunk| chunk.data.to_vec()).collect::<Vec<_>>()
            };
            let [mine, theirs] = [bytes(mine), bytes(theirs)];
            // A set without members says nothing but that.
            assert!(mine != theirs || theirs.len() <= 32, "{} bytes", theirs.len());
        }
    }
    let unknown = fetch(&own, 999).await.unwrap_err();
    assert_eq!(Received::from(&unknown).reason, Some(Reason::SnapshotUnknown));
    world.stop().await;
}

/// A tenant that names authorities takes registrars' calls only over connections that show one of
/// their certificates; the other tenant's certificate is none.
#[tokio::test]
async fn registrars_need_the_certificate_that_their_tenant_asks_for() {
    let (own, foreign) = (Authority::new(), Authority::new());
    let mut site = Site::new();
    site.add_tenant("other");
    for (tenant, authority) in [("default", &own), ("other", &foreign)] {
        let path = site.path(&format!("{tenant}.pem"));
        fs::write(&path, authority.certificate()).unwrap();
        site.config.tenants.get_mut(tenant).unwrap().registrar_authorities = Some(path);
    }
    let world = site.start().await;
    let registrar = |identity: Option<(String, String)>| {
        let credential = world.site.credential("back-end", Scope::Register);
        let builder = Registrar::builder(&world.url)
            .pin(world.pin.clone())
            .trust_root_pem(world.site.root.as_bytes())
            .credentials(StaticCredential::new(credential));
        let builder = match identity {
            Some((certificate, key)) => builder.client_identity_pem(certificate, key),
            None => builder,
        };
        builder.build().unwrap()
    };
    let rows = || (0..3).map(|i| (number(i), label(i))).collect::<Vec<_>>().into_iter();
    let visible = Visibility::Discoverable;
    for identity in [None, Some(foreign.issue("registrar"))] {
        let refused = registrar(identity).register(rows(), visible, |_| {}).await;
        assert!(matches!(refused.unwrap_err().source, ClientError::CertificateRequired));
    }
    let known = registrar(Some(own.issue("registrar")));
    known.register(rows(), visible, |_| {}).await.unwrap();
    // Apps need none.
    world.client("alice").quota().await.unwrap();
    world.stop().await;
}

/// An operator's way to a second tenant, with the real binary; and each line of the log says whose
/// it is.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_adds_a_tenant() {
    let site = Installation::new();
    let json =
        |arguments: &[&str]| run(&mut site.command(&[&["--json"], arguments].concat())).ok().json();
    let added = json(&["tenant", "add", "second"]);
    let configuration = fs::read_to_string(site.path("acquaint.toml")).unwrap();
    let section = added["section"].as_str().unwrap();
    fs::write(site.path("acquaint.toml"), format!("{configuration}\n{section}\n")).unwrap();
    assert_eq!(json(&["tenant", "list"])["tenants"], json!(["default", "second"]));
    let again = run(&mut site.command(&["tenant", "add", "second"])).error();
    assert!(again.contains("a tenant second already"), "{again}");
    let which = run(&mut site.command(&["publish"])).error();
    assert!(which.contains("name one with --tenant"), "{which}");

    let server = site.serve();
    let numbers = |mut picked: Box<dyn FnMut(&u64) -> bool>| -> HashSet<String> {
        (0..60).filter(|n| picked(n)).map(|n| format!("tel:+999{n:010}")).collect()
    };
    let lines = (20..80).map(|n| format!("tel:+999{n:010}\n")).collect::<String>();
    let book = site.write("book.txt", lines);
    let pins = [site.pin.clone(), added["pin"].as_str().unwrap().to_owned()];
    let divisors: [u64; 2] = [3, 2];
    for ((tenant, pin), divisor) in ["default", "second"].into_iter().zip(&pins).zip(divisors) {
        let mint = |account, scope| {
            let arguments = ["credential", "mint", "--tenant", tenant, "--account", account];
            let minted = run(site.command(&arguments).args(["--scope", scope])).ok();
            site.write(&format!("{tenant}-{account}.cred"), minted.stdout)
        };
        let command = |arguments: &[&str], credential: &str| {
            let mut command = acquaint(&[&["--json"], arguments].concat());
            command
                .args(["--server", &server.url, "--pin", pin])
                .args(["--credential-file", credential, "--ca"])
                .arg(site.path("tls/certificate.pem"));
            run(&mut command).ok().json()
        };
        let users = numbers(Box::new(move |n| n.is_multiple_of(divisor)));
        let rows = users.iter().enumerate().map(|(i, number)| format!("{number},{i:032x}\n"));
        let rows = format!("identifier,label\n{}", rows.collect::<String>());
        let list = site.write(&format!("{tenant}.csv"), rows);
        let imported = command(&["registry", "import", &list], &mint("back-end", "register"));
        assert_eq!(imported["added"], users.len());
        let published = json(&["publish", "--tenant", tenant]);
        assert_eq!(published["members"], users.len());
        let found = command(&["discover", &book], &mint("alice", "discover"));
        let found: HashSet<_> = matches(&found).into_iter().map(|(number, _)| number).collect();
        let known = numbers(Box::new(|n| *n >= 20));
        assert_eq!(found, users.intersection(&known).cloned().collect(), "{tenant}");
    }
    // A credential of one tenant opens nothing under the other's pin.
    let alice = site.outside("second-alice.cred");
    let foreign = run(&mut server.command(&["discover", &book], alice.to_str().unwrap())).error();
    assert!(foreign.contains("pin"), "{foreign}");

    let log = server.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let whose = |line: &Value| line["span"]["tenant"].as_str().map(str::to_owned);
    let of_tenants = ["call", "published", "registration stream complete"];
    for line in &lines {
        let message = line["fields"]["message"].as_str().unwrap();
        let is_open = line["fields"]["rpc"].as_str().is_some_and(|rpc| rpc.contains("health"));
        assert_eq!(whose(line).is_some(), of_tenants.contains(&message) && !is_open, "{line}");
    }
    for tenant in ["default", "second"] {
        let own = lines.iter().filter(|line| whose(line).as_deref() == Some(tenant));
        let own: HashSet<_> = own
            .map(|line| line["fields"]["rpc"].as_str().or(line["fields"]["message"].as_str()))
            .collect();
        let expected = ["Registry.Register", "Registry.Register.Chunk", "published", "Publish"];
        for what in expected.into_iter().chain(["Evaluate", "registration stream complete"]) {
            assert!(own.contains(&Some(what)), "{what} of {tenant}: {own:?}");
        }
    }
    server.stop();
}
