//! Connections that are no use to anybody, at a real server: each limit of the transport, and an
//! honest client beside it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use acquaint_client::Visibility;
use acquaint_core::credential::{Claims, Credential, Scope};
use acquaint_proto::{
    Method, Reason, Received,
    v1::{GetQuotaRequest, discovery_service_client::DiscoveryServiceClient},
};
use acquaint_server::keystore::CredentialKeyFiles;
use bytes::Bytes;
use futures_util::stream;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{Code, Status, client::Grpc, transport::Channel};

use crate::{
    binary::PATIENCE,
    floods::frames,
    world::{
        Raw, Site, World, authorized, book, call_raw, collect, found, install_provider, oracle,
        users,
    },
};

/// A site whose timeouts are over soon.
fn hasty() -> Site {
    let mut site = Site::new();
    let timeouts = &mut site.config.transport.timeouts;
    timeouts.handshake_ms = 300;
    timeouts.first_call_ms = 300;
    timeouts.idle_ms = 300;
    timeouts.call_ms = 300;
    timeouts.stall_ms = 2_000;
    site
}

fn address(world: &World) -> SocketAddr {
    let port = world.url.rsplit(':').next().unwrap().parse().unwrap();
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A connection from an address of this machine.
async fn connect_from(world: &World, from: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(address(world)).await.unwrap()
}

fn client_config(
    root: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> TlsConnector {
    install_provider();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_protocol_versions(versions)
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config).into()
}

async fn encrypt(root: &str, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    client_config(root, &[&TLS13]).connect(name, tcp).await
}

/// An encrypted connection that has said what HTTP/2 wants to hear first.
async fn http2(world: &World, settings: &[(u16, u32)]) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(address(world)).await.unwrap();
    let mut stream = encrypt(&world.site.root, tcp).await.unwrap();
    stream.write_all(&[frames::PREFACE, &frames::settings(settings)].concat()).await.unwrap();
    stream
}

/// Reads until the other side ends the connection.
async fn ended(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut buffer = vec![0; 65_536];
    let end = async { while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {} };
    timeout(PATIENCE, end).await.expect("the server ends the connection");
}

/// Whether the other side has ended the connection by now.
async fn is_open(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    timeout(Duration::from_millis(50), stream.read(&mut byte)).await.is_err()
}

/// The honest client: what it finds is right.
async fn looks_up(world: &World, account: &str) {
    let users = users(0..20);
    let book = book(10..40);
    let outcome = world.client(account).sync(&book, |_| {}).await.unwrap();
    assert_eq!(found(&outcome), oracle(&book, &users));
}

async fn with_users(site: Site) -> World {
    let world = site.start().await;
    world.register(&users(0..20), Visibility::Discoverable).await;
    world
}

async fn get_quota(world: &World, channel: Channel) -> Result<Bytes, Status> {
    let credential = world.site.credential("account", Scope::Discover);
    let request = authorized(&credential, Bytes::new());
    call_raw(channel, Method::DiscoveryGetQuota.path(), request).await.map(|all| all[0].clone())
}

#[tokio::test]
async fn tls_1_2_is_spoken_only_if_it_is_allowed() {
    for allowed in [false, true] {
        let mut site = Site::new();
        site.config.tls.allow_tls12 = allowed;
        let world = site.start().await;
        for (version, spoken) in [(&TLS12, allowed), (&TLS13, true)] {
            let tcp = TcpStream::connect(address(&world)).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let shaken = client_config(&world.site.root, &[version]).connect(name, tcp).await;
            assert_eq!(shaken.is_ok(), spoken, "{version:?}");
        }
        world.stop().await;
    }
}

#[tokio::test]
async fn certificates_are_replaced_while_the_server_runs() {
    let world = with_users(Site::new()).await;
    let open = world.channel();
    get_quota(&world, open.clone()).await.unwrap();
    let files = world.site.config.tls.clone();
    let old_root = world.site.root.clone();
    let new = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();

    // Half of a replacement: nothing changes, and it holds up nothing else.
    std::fs::write(&files.certificate, new.cert.pem()).unwrap();
    let keys = CredentialKeyFiles::new(&world.site.config.tenants["default"].keys);
    let second = keys.add(&mut rand::rng()).unwrap();
    let claims = Claims { key_id: second, ..world.site.claims("account", Scope::Discover) };
    let credential = Credential::mint(&keys.load().unwrap()[1].1, &claims);
    let with_second = || {
        let request = authorized(&credential, Bytes::new());
        call_raw(world.channel(), Method::DiscoveryGetQuota.path(), request)
    };
    assert_eq!(with_second().await.unwrap_err().code(), Code::Unauthenticated);
    assert!(world.reload.reload().await.is_err());
    with_second().await.unwrap();
    get_quota(&world, world.channel()).await.unwrap();
    keys.retire(second, &mut rand::rng()).unwrap();
    assert!(world.reload.reload().await.is_err());
    assert_eq!(with_second().await.unwrap_err().code(), Code::Unauthenticated);

    std::fs::write(&files.key, new.signing_key.serialize_pem()).unwrap();
    assert!(world.reload.reload().await.unwrap().certificates);
    assert!(!world.reload.reload().await.unwrap().certificates, "they are the same now");
    let tcp = TcpStream::connect(address(&world)).await.unwrap();
    assert!(encrypt(&old_root, tcp).await.is_err());
    let tcp = TcpStream::connect(address(&world)).await.unwrap();
    assert!(encrypt(&new.cert.pem(), tcp).await.is_ok());
    // Who was connected stays so.
    get_quota(&world, open).await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn connections_that_ask_nothing_are_ended() {
    let world = with_users(hasty()).await;
    let mut silent = TcpStream::connect(address(&world)).await.unwrap();
    let mut half_open = TcpStream::connect(address(&world)).await.unwrap();
    half_open.write_all(&[22, 3, 1, 2, 0, 1, 0, 1]).await.unwrap();
    let tcp = TcpStream::connect(address(&world)).await.unwrap();
    let mut no_preface = encrypt(&world.site.root, tcp).await.unwrap();
    let mut no_call = http2(&world, &[]).await;
    let mut slow_headers = http2(&world, &[]).await;
    slow_headers.write_all(&frames::headers_head(1, 200)).await.unwrap();
    slow_headers.write_all(&frames::field("a", "b")).await.unwrap();
    let mut refused = http2(&world, &[]).await;
    let block = frames::call(Method::DiscoveryGetQuota.path(), None);
    let flags = frames::END_HEADERS | frames::END_STREAM;
    refused.write_all(&frames::headers(1, &block, flags)).await.unwrap();

    ended(&mut silent).await;
    ended(&mut half_open).await;
    ended(&mut no_preface).await;
    ended(&mut no_call).await;
    ended(&mut slow_headers).await;
    ended(&mut refused).await;
    looks_up(&world, "honest").await;
    world.stop().await;
}

#[tokio::test]
async fn who_asks_nothing_and_does_not_leave_does_not_delay_the_end() {
    // What would end such a connection by itself comes later than the drain's deadline.
    let mut site = Site::new();
    site.config.drain.deadline_ms = 5_000;
    let world = site.start().await;
    let mut silent = http2(&world, &[]).await;
    // The server speaks HTTP/2 with it by now.
    silent.read_exact(&mut [0; 9]).await.unwrap();
    // Stopping checks that nothing was cut off by the deadline.
    world.stop().await;
    ended(&mut silent).await;
}

#[tokio::test]
async fn an_idle_client_is_sent_away_and_comes_back() {
    let world = with_users(hasty()).await;
    let mut idle = http2(&world, &[]).await;
    let credential = world.site.credential("account", Scope::Discover);
    let block = frames::call(Method::DiscoveryGetQuota.path(), Some(credential.expose_text()));
    idle.write_all(&frames::headers(1, &block, frames::END_HEADERS)).await.unwrap();
    idle.write_all(&frames::data(1, &[0; 5], frames::END_STREAM)).await.unwrap();
    let channel = world.channel();
    get_quota(&world, channel.clone()).await.unwrap();
    ended(&mut idle).await;
    // The other one was as idle for as long, and its library does not mind.
    get_quota(&world, channel).await.unwrap();
    world.stop().await;
}

/// A call that is never finished, and answers that nobody takes.
#[tokio::test]
async fn calls_that_stand_still_are_ended() {
    let world = with_users(hasty()).await;
    let credential = world.site.credential("account", Scope::Discover);
    let text = credential.expose_text();

    // A message is announced and does not come.
    let mut grpc = Grpc::new(world.channel());
    grpc.ready().await.unwrap();
    let request = authorized(&credential, stream::pending::<Bytes>());
    let path = Method::DiscoveryEvaluate.path().parse().unwrap();
    let status = grpc.streaming(request, path, Raw).await.unwrap_err();
    assert_eq!(Received::from(&status).reason, Some(Reason::RequestTimeout));
    assert_eq!(status.code(), Code::Unavailable);

    // The window stays closed.
    let mut unread = http2(&world, &[(frames::INITIAL_WINDOW_SIZE, 0)]).await;
    let block = frames::call(Method::DiscoveryGetQuota.path(), Some(text));
    unread.write_all(&frames::headers(1, &block, frames::END_HEADERS)).await.unwrap();
    unread.write_all(&frames::data(1, &[0; 5], frames::END_STREAM)).await.unwrap();
    ended(&mut unread).await;
    looks_up(&world, "honest").await;
    world.stop().await;
}

#[tokio::test]
async fn who_has_waited_longest_gives_way() {
    let mut site = Site::new();
    site.config.transport.connections_on_probation = 3;
    let world = with_users(site).await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(connect_from(&world, [127, 9, 9, 1]).await);
    }
    // One more of the crowd is turned away.
    ended(&mut connect_from(&world, [127, 9, 9, 1]).await).await;
    // One for the client's connection; it needs its place only until its first call.
    looks_up(&world, "honest").await;
    ended(&mut silent[0]).await;
    assert!(is_open(&mut silent[1]).await && is_open(&mut silent[2]).await);
    world.stop().await;
}

#[tokio::test]
async fn a_network_has_its_share_and_no_more() {
    let mut site = Site::new();
    site.config.transport.connections_per_network = 2;
    let world = site.start().await;
    let mut first = connect_from(&world, [127, 9, 9, 1]).await;
    let mut second = connect_from(&world, [127, 9, 9, 200]).await;
    ended(&mut connect_from(&world, [127, 9, 9, 3]).await).await;
    let mut elsewhere = connect_from(&world, [127, 9, 8, 1]).await;
    assert!(is_open(&mut first).await && is_open(&mut second).await);
    assert!(is_open(&mut elsewhere).await);
    get_quota(&world, world.channel()).await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn there_are_so_many_connections_and_no_more() {
    let mut site = Site::new();
    site.config.transport.connections = 2;
    let world = site.start().await;
    let mut first = connect_from(&world, [127, 9, 9, 1]).await;
    let mut second = connect_from(&world, [127, 9, 8, 1]).await;
    ended(&mut connect_from(&world, [127, 9, 7, 1]).await).await;
    assert!(is_open(&mut first).await && is_open(&mut second).await);
    drop(first);
    let free = async { while get_quota(&world, world.channel()).await.is_err() {} };
    timeout(PATIENCE, free).await.expect("the place is free again");
    world.stop().await;
}

#[tokio::test]
async fn floods_of_control_frames_end_their_connection() {
    let mut site = Site::new();
    site.config.transport.control_frames_per_s = 5;
    // Nothing else ends them before the test gives up.
    site.config.transport.timeouts.first_call_ms = 600_000;
    let world = with_users(site).await;
    let flag = frames::END_HEADERS | frames::END_STREAM;
    let refused = frames::call(Method::DiscoveryGetQuota.path(), None);
    let mut streams = (1..).step_by(2);
    type Frames = Box<dyn FnMut() -> Vec<u8>>;
    let floods: [(&str, Frames); 4] = [
        ("ping", Box::new(|| frames::ping(7))),
        ("settings", Box::new(|| frames::settings(&[]))),
        ("window", Box::new(|| frames::window_update(0, 1))),
        // Each is refused, and each refusal counts.
        ("refused", Box::new(move || frames::headers(streams.next().unwrap(), &refused, flag))),
    ];
    for (name, mut frame) in floods {
        let mut stream = http2(&world, &[]).await;
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        let flood = async {
            // A hundred are twice the budget; the end may come before the last of them.
            for _ in 0..100 {
                if writer.write_all(&frame()).await.is_err() {
                    break;
                }
            }
            drop(writer.flush().await);
        };
        tokio::join!(flood, ended(&mut reader));
        println!("{name}: ended");
    }
    looks_up(&world, "honest").await;
    world.stop().await;
}

/// Past the limits of calls and streams, callers are told to come back; what is open goes on.
#[tokio::test]
async fn calls_past_the_limits_are_shed() {
    let mut site = Site::new();
    site.config.transport.calls = 1;
    site.config.transport.streams = 1;
    site.config.drain.deadline_ms = 100;
    let world = with_users(site).await;
    let credential = world.site.credential("account", Scope::Discover);
    let text = credential.expose_text();
    let shed = async || {
        // The place may be taken a moment later than this client is answered.
        loop {
            match get_quota(&world, world.channel()).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(status) => return status,
            }
        }
    };

    let mut unfinished = http2(&world, &[]).await;
    let block = frames::call(Method::DiscoveryEvaluate.path(), Some(text));
    unfinished.write_all(&frames::headers(1, &block, frames::END_HEADERS)).await.unwrap();
    let status = timeout(PATIENCE, shed()).await.unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let received = Received::from(&status);
    assert_eq!(received.reason, Some(Reason::QueueFull));
    assert!(received.retry_after.is_some());
    drop(unfinished);
    looks_up(&world, "patient").await;

    // The same for streams: the one that is not taken holds the place of the other.
    let mut unread = http2(&world, &[(frames::INITIAL_WINDOW_SIZE, 0)]).await;
    let block = frames::call(Method::DiscoveryFetchSet.path(), Some(text));
    unread.write_all(&frames::headers(1, &block, frames::END_HEADERS)).await.unwrap();
    let newest = world.newest_snapshot().await;
    let message = frames::message(newest);
    unread.write_all(&frames::data(1, &message, frames::END_STREAM)).await.unwrap();
    let fetch = async || {
        let message =
            acquaint_proto::v1::FetchSetRequest { snapshot: newest, ..Default::default() };
        world.discovery().fetch_set(world.asks("account", message)).await
    };
    let shed = async {
        loop {
            match fetch().await {
                Ok(answer) => drop(collect(answer.into_inner()).await),
                Err(status) => return status,
            }
        }
    };
    let status = timeout(PATIENCE, shed).await.unwrap();
    assert_eq!(Received::from(&status).reason, Some(Reason::QueueFull));
    // Calls without streams go on.
    world.discovery().get_quota(world.asks("account", GetQuotaRequest {})).await.unwrap();
    world.stop_cut_off().await;
}

/// Slow readers of one account leave half of the streams to others.
#[tokio::test]
async fn an_account_has_one_stream_when_half_are_taken() {
    let mut site = Site::new();
    site.config.transport.streams = 4;
    site.config.transport.streams_per_account = 4;
    site.config.drain.deadline_ms = 100;
    let world = with_users(site).await;
    let newest = world.newest_snapshot().await;
    let fetch = async |account: &str| {
        let message =
            acquaint_proto::v1::FetchSetRequest { snapshot: newest, ..Default::default() };
        let answer = world.discovery().fetch_set(world.asks(account, message)).await?;
        collect(answer.into_inner()).await.map(drop)
    };
    let credential = world.site.credential("greedy", Scope::Discover);
    let block = frames::call(Method::DiscoveryFetchSet.path(), Some(credential.expose_text()));
    let mut unread = http2(&world, &[(frames::INITIAL_WINDOW_SIZE, 0)]).await;
    for id in [1, 3, 5, 7] {
        unread.write_all(&frames::headers(id, &block, frames::END_HEADERS)).await.unwrap();
        let message = frames::data(id, &frames::message(newest), frames::END_STREAM);
        unread.write_all(&message).await.unwrap();
    }
    // Once the first two are taken, it has no more; and others have theirs.
    let busy = async { while fetch("greedy").await.is_ok() {} };
    timeout(PATIENCE, busy).await.unwrap();
    for other in ["alice", "bob"] {
        assert!(fetch("greedy").await.is_err());
        fetch(other).await.unwrap();
    }
    world.stop_cut_off().await;
}

/// What one account holds keeps nobody else out, and neither do many connections of one account.
#[tokio::test]
async fn an_account_holds_a_few_places_and_no_more() {
    let mut site = Site::new();
    site.config.transport.connections_per_account = 2;
    site.config.transport.calls_per_account = 1;
    let world = with_users(site).await;
    let own = world.channel();
    get_quota(&world, own.clone()).await.unwrap();
    let second = world.channel();
    get_quota(&world, second.clone()).await.unwrap();
    // Its third connection gets no answer but one, and its first two go on.
    let status = get_quota(&world, world.channel()).await.unwrap_err();
    assert_eq!(Received::from(&status).reason, Some(Reason::QueueFull));
    get_quota(&world, own.clone()).await.unwrap();
    looks_up(&world, "another").await;

    // One call that waits for the rest of its message is all that it may have.
    let credential = world.site.credential("account", Scope::Discover);
    let mut grpc = Grpc::new(second);
    grpc.ready().await.unwrap();
    let request = authorized(&credential, stream::pending::<Bytes>());
    let path = Method::DiscoveryEvaluate.path().parse().unwrap();
    let waiting = tokio::spawn(async move { grpc.streaming(request, path, Raw).await.map(|_| ()) });
    let shed = async {
        loop {
            match get_quota(&world, own.clone()).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(status) => return status,
            }
        }
    };
    let status = timeout(PATIENCE, shed).await.unwrap();
    assert_eq!(Received::from(&status).reason, Some(Reason::QueueFull));
    looks_up(&world, "another").await;
    waiting.abort();
    world.stop().await;
}

/// The accounts of a tenant together have its part of connections, calls and streams, and leave the
/// other tenants theirs.
#[tokio::test]
async fn a_tenant_holds_its_part_and_no_more() {
    let mut site = Site::new();
    site.add_tenant("other");
    site.config.transport.calls = 4;
    site.config.transport.streams = 4;
    site.config.tenants.get_mut("other").unwrap().connections = Some(3);
    site.config.drain.deadline_ms = 100;
    let world = site.start().await;
    let credential = |account: &str| world.site.credential_of("other", account, Scope::Discover);
    let ask = async |channel: &Channel, account: &str| {
        let request = authorized(&credential(account), Bytes::new());
        call_raw(channel.clone(), Method::DiscoveryGetQuota.path(), request).await.map(drop)
    };
    let is_busy = |status: &Status| Received::from(status).reason == Some(Reason::QueueFull);
    // Places are taken, and given back, a moment after the client has done its part.
    let until = async |channel: &Channel, account: &str, busy: bool| {
        let asked = async {
            while ask(channel, account).await.is_err_and(|status| is_busy(&status)) != busy {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, asked).await.unwrap();
    };
    // Nobody else is kept out, whatever this tenant holds.
    let others = async || {
        get_quota(&world, world.channel()).await.unwrap();
    };

    // Three connections, one of which reads no more of an answer than its head.
    let mut unread = http2(&world, &[(frames::INITIAL_WINDOW_SIZE, 0)]).await;
    let request = async |stream: &mut TlsStream<TcpStream>, id, method: Method, message: &[u8]| {
        let block = frames::call(method.path(), Some(credential("unread").expose_text()));
        stream.write_all(&frames::headers(id, &block, frames::END_HEADERS)).await.unwrap();
        stream.write_all(&frames::data(id, message, frames::END_STREAM)).await.unwrap();
    };
    request(&mut unread, 1, Method::DiscoveryGetQuota, &[0; 5]).await;
    timeout(PATIENCE, answered(&mut unread)).await.unwrap();
    let (first, second, third) = (world.channel(), world.channel(), world.channel());
    for (channel, account) in [(&first, "a"), (&second, "b")] {
        ask(channel, account).await.unwrap();
    }
    assert!(is_busy(&ask(&third, "c").await.unwrap_err()));
    ask(&first, "c").await.unwrap();
    others().await;
    drop(second);
    until(&third, "c", false).await;

    // Two calls, of two accounts, that wait for the rest of their messages: half of the four.
    let waiting = [(&first, "a"), (&third, "b")].map(|(channel, account)| {
        let (channel, credential) = (channel.clone(), credential(account));
        tokio::spawn(async move {
            let mut grpc = Grpc::new(channel);
            grpc.ready().await.unwrap();
            let request = authorized(&credential, stream::pending::<Bytes>());
            let path = Method::DiscoveryEvaluate.path().parse().unwrap();
            grpc.streaming(request, path, Raw).await.map(drop)
        })
    });
    until(&third, "c", true).await;
    others().await;
    waiting.iter().for_each(JoinHandle::abort);
    until(&third, "c", false).await;

    // Two answers that nobody reads.
    let message = frames::message(world.newest_snapshot_of("other"));
    for id in [3, 5] {
        request(&mut unread, id, Method::DiscoveryFetchSet, &message).await;
    }
    let fetch = async |tenant: &str| {
        let snapshot = world.newest_snapshot_of(tenant);
        let message = acquaint_proto::v1::FetchSetRequest { snapshot, ..Default::default() };
        let credential = world.site.credential_of(tenant, "c", Scope::Discover);
        let mut discovery = DiscoveryServiceClient::new(third.clone());
        let answer = discovery.fetch_set(authorized(&credential, message)).await?;
        collect(answer.into_inner()).await.unwrap();
        Ok::<_, Status>(())
    };
    let full = async { while !fetch("other").await.is_err_and(|status| is_busy(&status)) {} };
    timeout(PATIENCE, full).await.unwrap();
    fetch("default").await.unwrap();
    // Calls without streams go on.
    ask(&third, "c").await.unwrap();
    world.stop_cut_off().await;
}

/// Reads until the head of an answer comes.
async fn answered(stream: &mut TlsStream<TcpStream>) {
    const HEADERS: u8 = 1;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let [high, middle, low, kind, ..] = head;
        let length = u32::from_be_bytes([0, high, middle, low]);
        stream.read_exact(&mut vec![0; length as usize]).await.unwrap();
        if kind == HEADERS {
            return;
        }
    }
}

/// Calls without a credential are few for each network, small, and soon over; they take nothing
/// from those who have one.
#[tokio::test]
async fn calls_that_anybody_may_make_take_nothing_from_others() {
    let mut site = Site::new();
    site.config.transport.calls = 2;
    let world = with_users(site).await;
    // More than all call places, and more than a network may have: none of them sends its message.
    let mut waiting = http2(&world, &[]).await;
    let block = frames::call("/grpc.health.v1.Health/Check", None);
    for i in 0..20 {
        waiting.write_all(&frames::headers(2 * i + 1, &block, frames::END_HEADERS)).await.unwrap();
    }
    looks_up(&world, "honest").await;
    // The seventeenth of a network is sent away, while the others wait for a second at most.
    let channel = world.channel();
    let mut stream = 39;
    let sent_away = async {
        loop {
            let request = tonic::Request::new(Bytes::new());
            let answer = call_raw(channel.clone(), "/grpc.health.v1.Health/Check", request).await;
            match answer {
                Ok(_) => {
                    stream += 2;
                    let frame = frames::headers(stream, &block, frames::END_HEADERS);
                    waiting.write_all(&frame).await.unwrap();
                }
                Err(status) => return status,
            }
        }
    };
    let status = timeout(PATIENCE, sent_away).await.unwrap();
    assert_eq!(Received::from(&status).reason, Some(Reason::QueueFull));

    // A long message gets no answer, and is refused by its declaration; once those that wait are
    // gone. `list_services`, field 7, with so much text.
    drop(waiting);
    let channel = world.channel();
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let message =
        |n: usize| [&[0x3A, (n as u8) | 0x80, (n >> 7) as u8][..], &vec![b'*'; n]].concat();
    for (n_bytes, answered) in [(4_093, true), (4_094, false)] {
        let asked = async {
            loop {
                let request = tonic::Request::new(Bytes::from(message(n_bytes)));
                match call_raw(channel.clone(), path, request).await {
                    Err(status) if status.code() == Code::ResourceExhausted => {}
                    answers => return answers.unwrap_or_default(),
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let answers = timeout(PATIENCE, asked).await.unwrap();
        assert_eq!(!answers.is_empty(), answered, "{n_bytes}");
    }
    world.stop().await;
}
