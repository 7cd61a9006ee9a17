//! The authorization matrix at every entrance: each rpc, each caller, the exact refusal (A1), and
//! what each rpc draws on the quota (T6). Generated from the table in the code; what it should be
//! is written here once more, by service.

use std::{collections::BTreeMap, time::Duration};

use acquaint_core::credential::{Credential, Scope};
use acquaint_proto::{Method, Reason, Received};
use acquaint_server::admission::access::{Draws, row};
use bytes::Bytes;
use tokio::net::UnixStream;
use tonic::{
    Code, Request, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::{
    authority::Authority,
    world::{Site, World, authorized, call_raw, elements, now_s},
};

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Caller {
    Nobody,
    Forger,
    Expired,
    ForeignTenant,
    Client,
    Registrar,
    Admin,
}

const CALLERS: [Caller; 7] = [
    Caller::Nobody,
    Caller::Forger,
    Caller::Expired,
    Caller::ForeignTenant,
    Caller::Client,
    Caller::Registrar,
    Caller::Admin,
];

/// What the right scope of a service is, by other means than the table's.
fn scope_of(method: Method) -> Scope {
    match method.service() {
        "acquaint.v1.DiscoveryService" => Scope::Discover,
        "acquaint.v1.RegistryService" => Scope::Register,
        "acquaint.v1.AdminService" => Scope::Admin,
        other => panic!("who may call {other}?"),
    }
}

fn credential(site: &Site, caller: Caller, method: Method) -> Option<Credential> {
    let scope = scope_of(method);
    let text = |credential: Credential| credential.expose_text().to_owned();
    Some(match caller {
        Caller::Nobody => return None,
        Caller::Forger => Credential::from_text(&text(site.credential("account", scope))[1..]),
        Caller::Expired => site.credential_until("account", scope, now_s() - 1),
        Caller::ForeignTenant => site.credential_of("elsewhere", "account", scope),
        Caller::Client => site.credential("account", Scope::Discover),
        Caller::Registrar => site.credential("account", Scope::Register),
        Caller::Admin => site.credential("account", Scope::Admin),
    })
}

/// The refusal that the matrix owes a caller where the rpc is served; `None`: it is let in.
fn owed(method: Method, caller: Caller) -> Option<(Code, Reason)> {
    let scope = match caller {
        Caller::Nobody => return Some((Code::Unauthenticated, Reason::CredentialMissing)),
        Caller::Forger | Caller::ForeignTenant => {
            return Some((Code::Unauthenticated, Reason::CredentialInvalid));
        }
        Caller::Expired => return Some((Code::Unauthenticated, Reason::CredentialExpired)),
        Caller::Client => Scope::Discover,
        Caller::Registrar => Scope::Register,
        Caller::Admin => Scope::Admin,
    };
    let wrong = scope != scope_of(method);
    wrong.then_some((Code::PermissionDenied, Reason::ScopeMissing))
}

/// Calls with an empty message; an answer may be whatever it is.
async fn call(
    channel: &Channel,
    method: Method,
    credential: Option<&Credential>,
) -> Option<Status> {
    let request = match credential {
        Some(credential) => authorized(credential, Bytes::new()),
        None => Request::new(Bytes::new()),
    };
    call_raw(channel.clone(), method.path(), request).await.err()
}

#[track_caller]
fn expect(method: Method, caller: Caller, got: Option<&Status>, owed: Option<(Code, Reason)>) {
    let at_the_door = |status: &Status| {
        let closed = [Code::Unauthenticated, Code::PermissionDenied, Code::Unimplemented];
        closed.contains(&status.code())
    };
    let what = format!("{} by {caller:?}", method.path());
    match owed {
        Some((code, reason)) => {
            let status = got.unwrap_or_else(|| panic!("{what} was let in"));
            assert_eq!(status.code(), code, "{what}");
            assert_eq!(Received::from(status).reason, Some(reason), "{what}");
            assert_eq!(status.message(), reason.text(), "{what}");
        }
        None => assert!(!got.is_some_and(at_the_door), "{what}: {got:?}"),
    }
}

#[tokio::test]
async fn the_public_port_keeps_the_matrix() {
    let world = World::start().await;
    let channel = world.channel();
    let mut checked = BTreeMap::new();
    for &method in Method::ALL {
        for caller in CALLERS {
            let credential = credential(&world.site, caller, method);
            let got = call(&channel, method, credential.as_ref()).await;
            if scope_of(method) == Scope::Admin {
                assert_eq!(got.unwrap().code(), Code::Unimplemented, "{}", method.path());
            } else {
                expect(method, caller, got.as_ref(), owed(method, caller));
            }
            *checked.entry(caller).or_insert(0) += 1;
        }
    }
    assert!(checked.values().all(|&n| n == Method::ALL.len()) && checked.len() == CALLERS.len());
    for path in ["/acquaint.v1.DiscoveryService/Unknown", "/acquaint.v2.X/Y", "/", "/metrics"] {
        let path: &'static str = path;
        let request = authorized(&world.site.credential("account", Scope::Admin), Bytes::new());
        let status = call_raw(world.channel(), path, request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
    }
    world.stop().await;
}

#[tokio::test]
async fn the_admin_port_asks_for_certificate_and_credential_of_the_tenant() {
    let operators = Authority::new();
    let mut site = Site::new();
    let authorities = site.path("operators.pem");
    std::fs::write(&authorities, operators.certificate()).unwrap();
    site.config.admin = Some(acquaint_server::config::AdminPort {
        listen: "127.0.0.1:0".parse().unwrap(),
        authorities,
    });
    site.add_tenant("other");
    let world = site.start().await;
    let url = format!("https://localhost:{}", world.admin_address.unwrap().port());
    let connect = |identity: Option<Identity>| {
        let tls = ClientTlsConfig::new()
            .domain_name("localhost")
            .ca_certificate(Certificate::from_pem(&world.site.root));
        let tls = identity.into_iter().fold(tls, ClientTlsConfig::identity);
        Endpoint::from_shared(url.clone()).unwrap().tls_config(tls).unwrap().connect_lazy()
    };

    let channel = connect(Some(operators.identity("operator")));
    for &method in Method::ALL {
        for caller in CALLERS {
            let credential = credential(&world.site, caller, method);
            let got = call(&channel, method, credential.as_ref()).await;
            if scope_of(method) == Scope::Admin {
                expect(method, caller, got.as_ref(), owed(method, caller));
            } else {
                assert_eq!(got.unwrap().code(), Code::Unimplemented, "{}", method.path());
            }
        }
    }

    // Another tenant and one that does not exist are refused alike; the own one is not.
    let admin = world.site.credential("account", Scope::Admin);
    let named = |name: &str| {
        let field = [&[0x0A, u8::try_from(name.len()).unwrap()], name.as_bytes()].concat();
        call_raw(channel.clone(), Method::AdminGetStatus.path(), authorized(&admin, field.into()))
    };
    assert!(named("default").await.is_ok());
    let [other, nobody] = [named("other").await, named("nobody").await].map(Result::unwrap_err);
    assert_eq!(Received::from(&other).reason, Some(Reason::TenantUnknown));
    assert_eq!((other.code(), other.message()), (nobody.code(), nobody.message()));
    assert_eq!(other.details(), nobody.details());

    // No certificate, or one of somebody else: no connection.
    for identity in [None, Some(Authority::new().identity("operator"))] {
        let got = call(&connect(identity), Method::AdminGetStatus, Some(&admin)).await;
        // The connection fails, which tonic words in two ways.
        assert!(matches!(got.unwrap().code(), Code::Unavailable | Code::Unknown));
    }
    world.stop().await;
}

#[tokio::test]
async fn the_admin_socket_serves_admin_rpcs_of_every_tenant_and_nothing_else() {
    let mut site = Site::new();
    let socket = site.path("admin.sock");
    site.config.admin_socket = Some(socket.clone());
    site.add_tenant("other");
    let world = site.start().await;
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(hyper_util::rt::TokioIo::new) }
    });
    let channel =
        Endpoint::from_static("http://admin.invalid").connect_with_connector_lazy(connector);
    for &method in Method::ALL {
        let got = call(&channel, method, None).await;
        match scope_of(method) {
            // Two tenants, and none is named.
            Scope::Admin => {
                let status = got.unwrap();
                assert_eq!(Received::from(&status).reason, Some(Reason::TenantUnknown));
            }
            _ => assert_eq!(got.unwrap().code(), Code::Unimplemented, "{}", method.path()),
        }
    }
    for (name, known) in [("default", true), ("other", true), ("third", false), ("No", false)] {
        let field = [&[0x0A, u8::try_from(name.len()).unwrap()], name.as_bytes()].concat();
        let request = Request::new(Bytes::from(field));
        let got = call_raw(channel.clone(), Method::AdminGetStatus.path(), request).await;
        assert_eq!(got.is_ok(), known, "{name}");
    }
    world.stop().await;
}

/// T6: what the table says of the quota is what calls do.
#[tokio::test]
async fn only_what_is_listed_as_charged_is_charged() {
    let mut site = Site::new();
    site.config.quota.refill_per_day = 0;
    let world = site.start().await;
    let batch = elements(0..16);
    // Field 1 (epoch) = 1, field 2 (elements): an evaluation where there is one, and for other
    // rpcs a message with fields that they take or pass over.
    let message = [&[0x08, 1, 0x12, 0x80, 0x04][..], &batch].concat();
    let quota = async || {
        let asked = world.asks("account", acquaint_proto::v1::GetQuotaRequest {});
        world.discovery().get_quota(asked).await.unwrap().into_inner().quota.unwrap().remaining
    };
    for &method in Method::ALL.iter().filter(|&&method| scope_of(method) != Scope::Admin) {
        let before = quota().await;
        let credential = world.site.credential("account", scope_of(method));
        let request = authorized(&credential, Bytes::from(message.clone()));
        let answered = call_raw(world.channel(), method.path(), request);
        // Streams of registrations may wait for more; what they charge they charge at once.
        let answered = tokio::time::timeout(Duration::from_secs(20), answered).await.unwrap();
        let charged = before - quota().await;
        match row(method).quota {
            Draws::Elements => {
                assert!(answered.is_ok(), "{}", method.path());
                assert_eq!(charged, 16, "{}", method.path());
            }
            Draws::RegistrarElements | Draws::Nothing(_) => {
                assert_eq!(charged, 0, "{}", method.path());
            }
        }
    }
    world.stop().await;
}

/// Who was let in by an authority that is no longer trusted is not let in again, also not by
/// resuming a session; the credential alone opens nothing.
#[tokio::test]
async fn an_authority_that_is_replaced_lets_nobody_in() {
    let (former, newer) = (Authority::new(), Authority::new());
    let mut site = Site::new();
    let authorities = site.path("operators.pem");
    std::fs::write(&authorities, former.certificate()).unwrap();
    site.config.admin = Some(acquaint_server::config::AdminPort {
        listen: "127.0.0.1:0".parse().unwrap(),
        authorities: authorities.clone(),
    });
    let world = site.start().await;
    let url = format!("https://localhost:{}", world.admin_address.unwrap().port());
    let admin = world.site.credential("account", Scope::Admin);
    let endpoint = |authority: &Authority| {
        let tls = ClientTlsConfig::new()
            .domain_name("localhost")
            .ca_certificate(Certificate::from_pem(&world.site.root))
            .identity(authority.identity("operator"));
        Endpoint::from_shared(url.clone()).unwrap().tls_config(tls).unwrap()
    };
    // One endpoint keeps its sessions, for all connections that it makes.
    let (of_former, of_newer) = (endpoint(&former), endpoint(&newer));
    let call = async |endpoint: &Endpoint| {
        call(&endpoint.connect_lazy(), Method::AdminGetStatus, Some(&admin)).await
    };
    for _ in 0..2 {
        assert!(call(&of_former).await.is_none());
    }
    assert!(call(&of_newer).await.is_some());

    std::fs::write(&authorities, newer.certificate()).unwrap();
    assert!(world.reload.reload().await.unwrap().certificates);
    for _ in 0..2 {
        let refused = call(&of_former).await.unwrap();
        assert!(matches!(refused.code(), Code::Unavailable | Code::Unknown), "{refused:?}");
    }
    assert!(call(&of_newer).await.is_none());
    world.stop().await;
}
