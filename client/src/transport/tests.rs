//! Addresses, certificates, and a real TLS connection.

use tokio::net::TcpListener;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use super::*;
use crate::{Client, ClientError, testing::Fake};

fn refused(address: &str) -> BuildError {
    Transport::new(address, None, None).unwrap_err()
}

#[test]
fn only_https_addresses_without_a_path_are_taken() {
    for address in ["https://a.test", "https://a.test:8443/", "https://[::1]:1", "https://10.0.0.1"]
    {
        assert!(Transport::new(address, None, None).is_ok(), "{address}");
    }
    for address in ["http://a.test", "a.test:443", "ftp://a.test"] {
        assert_eq!(refused(address), BuildError::NotHttps, "{address}");
    }
    for address in ["", "https://", "https://u:p@a.test", "https://a.test/x", "https://a.test/?q"] {
        assert_eq!(refused(address), BuildError::Endpoint, "{address}");
    }
}

#[test]
fn roots_that_cannot_be_read_are_refused() {
    let with_root = |pem: &[u8]| Transport::new("https://a.test", Some(pem), None).map(|_| ());
    let good = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap().cert.pem();
    assert_eq!(with_root(good.as_bytes()), Ok(()));
    assert_eq!(with_root(b""), Err(BuildError::RootCertificate));
    assert_eq!(with_root(b"not a certificate"), Err(BuildError::RootCertificate));
    let truncated = good.replace("-----END", "-----AND");
    assert_eq!(with_root(truncated.as_bytes()), Err(BuildError::RootCertificate));
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(with_root(garbage.as_bytes()), Err(BuildError::RootCertificate));
}

/// Serves `fake` over TLS on a free port; gives its address.
async fn serve_tls(fake: &Arc<Fake>, key: &rcgen::CertifiedKey<rcgen::KeyPair>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let identity = Identity::from_pem(key.cert.pem(), key.signing_key.serialize_pem());
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))
        .unwrap()
        .add_service(fake.discovery_service());
    tokio::spawn(server.serve_with_incoming(incoming));
    address
}

#[tokio::test]
async fn calls_run_over_tls_and_every_byte_is_counted() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let fake = Fake::new(1);
    let address = serve_tls(&fake, &key).await;
    let client =
        fake.complete(Client::builder(&address)).trust_root_pem(key.cert.pem()).build().unwrap();
    assert_eq!(client.traffic(), crate::Traffic::default());
    client.quota().await.unwrap();
    let first = client.traffic();
    assert!(first.bytes_up > 300 && first.bytes_down > 300, "{first:?}");
    client.quota().await.unwrap();
    let second = client.traffic() - first;
    assert!(second.bytes_up > 50 && second.bytes_up < first.bytes_up, "one handshake only");
}

#[tokio::test]
async fn another_certificate_is_refused_at_once() {
    let generate = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let fake = Fake::new(1);
    let address = serve_tls(&fake, &generate()).await;
    let start = std::time::Instant::now();
    for root in [Some(generate().cert.pem()), None] {
        let mut builder = fake.complete(Client::builder(&address));
        if let Some(root) = root {
            builder = builder.trust_root_pem(root);
        }
        let error = builder.build().unwrap().quota().await.unwrap_err();
        assert_eq!(error, ClientError::UntrustedServer);
    }
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(fake.authorizations.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_closed_port_is_unreachable_when_the_time_is_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Fake::new(1)
        .complete(Client::builder(&address))
        .retry_time_max(Duration::from_millis(200))
        .build()
        .unwrap();
    assert_eq!(client.quota().await.unwrap_err(), ClientError::Unreachable);
}
