//! Upstreams that speak TLS, with HTTP/1.1 and HTTP/2, and proxies that the environment names.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::rig::{End, Recorder, Upstream, ask, body_of, header, of_kind, post};
use crate::support::Sandbox;

/// A server with a certificate for `localhost`, and that certificate.
struct Secure {
    runtime: tokio::runtime::Runtime,
    address: SocketAddr,
    certificate: String,
}

type Reply = Response<BoxBody<Bytes, std::io::Error>>;

/// Answers with what the request was, in two pieces; `/cut` breaks off after the first.
async fn answer(request: Request<Incoming>) -> Result<Reply, Infallible> {
    let version = format!("{:?} ", request.version());
    let cut = request.uri().path().ends_with("/cut");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let second = if cut {
        Err(std::io::Error::other("enough"))
    } else {
        Ok(Frame::data(body))
    };
    let pieces = vec![Ok(Frame::data(Bytes::from(version))), second];
    let stream = StreamBody::new(futures_of(pieces));
    Ok(Response::new(BoxBody::new(stream)))
}

/// A stream of what is there.
fn futures_of<T: Send + Sync + Unpin + 'static>(
    items: Vec<T>,
) -> impl futures_core::Stream<Item = T> + Send + Sync {
    struct Items<T>(std::vec::IntoIter<T>);
    impl<T: Unpin> futures_core::Stream for Items<T> {
        type Item = T;
        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<T>> {
            std::task::Poll::Ready(self.0.next())
        }
    }
    Items(items.into_iter())
}

impl Secure {
    fn start(protocols: &[&str]) -> Self {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
            certified.signing_key.serialize_der(),
        ));
        let provider = tokio_rustls::rustls::crypto::ring::default_provider();
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // a client that does not trust us leaves here
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let io = TokioIo::new(stream);
                    let service = service_fn(answer);
                    if http2 {
                        let _over = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                            .serve_connection(io, service)
                            .await;
                    } else {
                        let _over = hyper::server::conn::http1::Builder::new()
                            .serve_connection(io, service)
                            .await;
                    }
                });
            }
        });
        Self {
            runtime,
            address,
            certificate: certified.cert.pem(),
        }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/v1", self.address.port())
    }

    /// A recorder that trusts this server.
    fn recorder(&self, sandbox: &Sandbox) -> Recorder {
        let certificate = sandbox.write("certificate.pem", &self.certificate);
        let file = sandbox.path().join("session.jsonl");
        let mut command = sandbox.command(&[
            "record",
            "-v",
            "--tls-roots",
            "platform",
            "--upstream",
            &self.url(),
            "-o",
            file.to_str().unwrap(),
        ]);
        command.env("SSL_CERT_FILE", certificate);
        Recorder::spawn(command, file)
    }
}

#[test]
fn tls_upstreams_are_spoken_to_in_the_newest_http_they_offer() {
    for (protocols, version) in [
        (&["h2", "http/1.1"][..], "HTTP/2.0 "),
        (&["http/1.1"], "HTTP/1.1 "),
        (&[], "HTTP/1.1 "),
    ] {
        let sandbox = Sandbox::new();
        let server = Secure::start(protocols);
        let recorder = server.recorder(&sandbox);
        for body in ["{\"one\":1}", "{\"two\":2}"] {
            let seen = ask(recorder.address, &post(body));
            assert!(seen.whole, "{seen:?}");
            assert_eq!(
                String::from_utf8(seen.body).unwrap(),
                format!("{version}{body}")
            );
        }
        let (_, lines) = recorder.stop();
        assert_eq!(
            body_of(&lines, 1),
            format!("{version}{{\"one\":1}}").as_bytes()
        );
        let ends = of_kind(&lines, "end");
        assert!(ends.iter().all(|it| it["cause"] == "complete"), "{ends:?}");
        drop(server.runtime);
    }
}

#[test]
fn a_stream_that_http2_resets_is_cut_for_the_client_too() {
    let sandbox = Sandbox::new();
    let server = Secure::start(&["h2"]);
    let recorder = server.recorder(&sandbox);
    let request = b"GET /v1/cut HTTP/1.1\r\nHost: here\r\n\r\n";
    let seen = ask(recorder.address, request);
    assert!(!seen.whole, "{seen:?}");
    assert!(seen.end.is_some());
    let (_, lines) = recorder.stop();
    let end = of_kind(&lines, "end")[0];
    assert_eq!(end["cause"], "upstream_error", "{end}");
    assert!(
        end["detail"].as_str().unwrap().contains("stream error"),
        "{end}"
    );
}

#[test]
fn a_server_that_nobody_vouches_for_gets_no_request() {
    let sandbox = Sandbox::new();
    let server = Secure::start(&["h2", "http/1.1"]);
    let recorder = Recorder::start(&sandbox, &server.url(), &["--tls-roots", "bundled"]);
    let seen = ask(recorder.address, &post("{}"));
    assert_eq!((seen.status.as_str(), seen.end), ("", Some(End::Closed)));
    let (_, lines) = recorder.stop();
    let end = of_kind(&lines, "end")[0];
    let detail = end["detail"].as_str().unwrap();
    assert!(detail.contains("no TLS with localhost"), "{detail}");
    assert!(detail.contains("certificate"), "{detail}");
}

#[test]
fn a_proxy_that_the_environment_names_is_used_unless_it_is_told_not_to() {
    let sandbox = Sandbox::new();
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ndirect");
    let proxy = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproxy");
    let file = sandbox.path().join("session.jsonl");
    let start = |no_proxy: &str| {
        let mut command = sandbox.command(&[
            "record",
            "--force",
            "--upstream",
            &upstream.url(),
            "-o",
            file.to_str().unwrap(),
        ]);
        command
            .env(
                "HTTP_PROXY",
                format!("http://user:secret@{}", proxy.address),
            )
            .env("NO_PROXY", no_proxy);
        Recorder::spawn(command, file.clone())
    };
    let recorder = start("");
    assert_eq!(ask(recorder.address, &post("{}")).body, b"proxy");
    recorder.stop();
    let (head, _) = proxy.requests().remove(0);
    let whole = format!("POST http://{}/v1/responses HTTP/1.1", upstream.address);
    assert!(head.starts_with(&whole), "{head}");
    assert!(
        header(&head, "proxy-authorization")
            .unwrap()
            .starts_with("Basic ")
    );
    let recorder = start("127.0.0.1");
    assert_eq!(ask(recorder.address, &post("{}")).body, b"direct");
    let (_, lines) = recorder.stop();
    let text = format!("{lines:?}");
    assert!(
        !text.contains("secret") && !text.contains("c2VjcmV0"),
        "{text}"
    );
}

#[test]
fn https_goes_through_a_tunnel() {
    let sandbox = Sandbox::new();
    let server = Secure::start(&["http/1.1"]);
    let to = server.address;
    let proxy = Upstream::start(move |mut peer| {
        let head = peer.head().unwrap();
        assert!(head.starts_with("CONNECT localhost:"), "{head}");
        peer.send("HTTP/1.1 200 Connection established\r\n\r\n");
        peer.tunnel(crate::rig::connect(to));
    });
    let certificate = sandbox.write("certificate.pem", &server.certificate);
    let file = sandbox.path().join("session.jsonl");
    let mut command = sandbox.command(&[
        "record",
        "--upstream",
        &server.url(),
        "-o",
        file.to_str().unwrap(),
    ]);
    command
        .env("SSL_CERT_FILE", certificate)
        .env("HTTPS_PROXY", format!("http://{}", proxy.address));
    let recorder = Recorder::spawn(command, file);
    let seen = ask(recorder.address, &post("{\"a\":1}"));
    assert_eq!(seen.body, b"HTTP/1.1 {\"a\":1}");
    recorder.stop();
}
