//! TLS with a certificate of the broker's own.

use std::sync::Arc;

use aws_sdk_kinesis::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use kcl_broker::{Broker, SelfSigned, Server};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use crate::{ask_over_http1, connect};

async fn secure_server(names: &[&str]) -> (Server, SelfSigned) {
    let certificate = SelfSigned::new(names.iter().copied()).unwrap();
    let server = Server::bind_tls(Broker::new(), ([127, 0, 0, 1], 0), &certificate)
        .await
        .unwrap();
    (server, certificate)
}

fn sdk(server: &Server, trusted_pem: &str) -> Client {
    let trust = TrustStore::empty().with_pem_certificate(trusted_pem);
    let tls = TlsContext::builder().with_trust_store(trust).build().unwrap();
    let http = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls)
        .build_https();
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "test"))
        .endpoint_url(server.endpoint_url())
        .http_client(http);
    Client::from_conf(config.build())
}

async fn handshake(
    server: &Server,
    certificate: &SelfSigned,
    name: &'static str,
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(certificate.authority_pem().as_bytes()).unwrap();
    roots.add(authority).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let connector = TlsConnector::from(Arc::new(config));
    connector
        .connect(ServerName::try_from(name).unwrap(), connect(server).await)
        .await
}

#[tokio::test]
async fn the_sdk_trusts_the_brokers_authority_and_no_other() {
    let (server, certificate) = secure_server(&["127.0.0.1"]).await;
    assert!(server.endpoint_url().starts_with("https://127.0.0.1:"));
    let client = sdk(&server, certificate.authority_pem());
    client
        .create_stream()
        .stream_name("s")
        .shard_count(1)
        .send()
        .await
        .unwrap();
    assert_eq!(client.list_streams().send().await.unwrap().stream_names(), ["s"]);

    let other = SelfSigned::new(["127.0.0.1"]).unwrap();
    let error = sdk(&server, other.authority_pem())
        .list_streams()
        .send()
        .await
        .unwrap_err();
    assert!(error.as_service_error().is_none(), "{error:?}");
    drop(client);
    server.shutdown().await;
}

#[tokio::test]
async fn clients_choose_the_version_in_the_handshake() {
    let (server, certificate) = secure_server(&["localhost", "127.0.0.1"]).await;
    for (offered, chosen) in [
        (&[&b"h2"[..], b"http/1.1"][..], Some(&b"h2"[..])),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let mut stream = handshake(&server, &certificate, "localhost", offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
        if chosen != Some(b"h2") {
            let (head, _) = ask_over_http1(&mut stream, "ListStreams", "{}").await;
            assert!(head.starts_with("http/1.1 200"), "{head}");
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_certificate_is_for_its_names_only() {
    let (server, certificate) = secure_server(&["broker.test"]).await;
    assert!(handshake(&server, &certificate, "broker.test", &[]).await.is_ok());
    assert!(handshake(&server, &certificate, "localhost", &[]).await.is_err());
    let error = SelfSigned::new(["straße"]).unwrap_err();
    assert!(error.to_string().contains("host names"));
    server.shutdown().await;
}
