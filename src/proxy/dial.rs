//! Connects to an upstream: directly or through the proxy that the environment names, with or without TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tower_service::Service as _;

use super::fault::chain;
use super::{ProxyError, Upstream};

/// Whose certificates are trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// Those of the platform and those that come with the program.
    #[default]
    Both,
    /// Those of the platform only (or of `SSL_CERT_FILE` and `SSL_CERT_DIR`).
    Platform,
    /// Those that come with the program only.
    Bundled,
}

/// Why an upstream could not be reached.
#[derive(Debug, Error)]
pub(crate) enum DialError {
    #[error("cannot connect to {0}: {1}")]
    Connect(String, String),
    #[error("the proxy {0} does not connect to {1}: {2}")]
    Proxy(String, String, String),
    #[error("no TLS with {0}: {1}")]
    Tls(String, String),
    #[error("{0} is no name that TLS can check")]
    Name(String),
    #[error("proxies that speak {0} are not supported")]
    Scheme(String),
}

/// Makes connections.
pub(crate) struct Dialer {
    tcp: HttpConnector,
    proxies: Matcher,
    /// The TLS setups, if an upstream needs them: reading the certificates of the platform takes time.
    tls: Result<(TlsConnector, TlsConnector), String>,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer")
            .field("tls", &self.tls.is_ok())
            .finish_non_exhaustive()
    }
}

/// A proxy that wants whole URLs and, perhaps, an authorization.
#[derive(Clone)]
pub(crate) struct Through {
    pub(crate) auth: Option<HeaderValue>,
}

/// A connection to an upstream.
pub(crate) struct Dialed {
    pub(crate) stream: Stream,
    pub(crate) http2: bool,
    /// The proxy that requests are sent to.
    pub(crate) by_proxy: Option<Through>,
}

impl Dialer {
    pub(crate) fn new(roots: Roots, needs_tls: bool) -> Result<Self, ProxyError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let tls = if needs_tls {
            Ok(connectors(roots)?)
        } else {
            Err("no upstream speaks it".to_owned())
        };
        Ok(Self {
            tcp,
            proxies: Matcher::from_env(),
            tls,
        })
    }

    /// The same without the proxies that the environment names.
    pub(crate) fn without_proxies(self) -> Self {
        Self {
            proxies: Matcher::builder().build(),
            ..self
        }
    }

    /// Connects to `upstream`; with `http1` only HTTP/1.1 is offered.
    pub(crate) async fn dial(&self, upstream: &Upstream, http1: bool) -> Result<Dialed, DialError> {
        let uri = Uri::builder()
            .scheme(if upstream.tls() { "https" } else { "http" })
            .authority(upstream.authority().clone())
            .path_and_query("/")
            .build()
            .map_err(|error| DialError::Connect(upstream.url(), error.to_string()))?;
        let proxy = self.proxies.intercept(&uri);
        let (tcp, by_proxy) = match &proxy {
            None => (self.direct(&uri).await?, None),
            Some(proxy) => self.by_proxy(proxy, &uri).await?,
        };
        if !upstream.tls() {
            let stream = Stream::Plain(tcp);
            return Ok(Dialed {
                stream,
                http2: false,
                by_proxy,
            });
        }
        let host = upstream.host();
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_no_detail| DialError::Name(host.to_owned()))?;
        let no_tls = |why: String| DialError::Tls(host.to_owned(), why);
        let (both, only_http1) = self.tls.as_ref().map_err(|why| no_tls(why.clone()))?;
        let connector = if http1 { only_http1 } else { both };
        let stream = connector
            .connect(name, tcp)
            .await
            .map_err(|error| no_tls(chain(&error)))?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Dialed {
            stream: Stream::Tls(Box::new(stream)),
            http2,
            by_proxy: None,
        })
    }

    async fn direct(&self, uri: &Uri) -> Result<TcpStream, DialError> {
        let mut tcp = self.tcp.clone();
        let stream = tcp.call(uri.clone()).await.map_err(|error| {
            let host = uri.authority().map_or("", |it| it.as_str());
            DialError::Connect(host.to_owned(), chain(&error))
        })?;
        Ok(stream.into_inner())
    }

    async fn by_proxy(
        &self,
        proxy: &Intercept,
        uri: &Uri,
    ) -> Result<(TcpStream, Option<Through>), DialError> {
        let failed = |why: String| {
            let name = proxy.uri().authority().map_or("", |it| it.host());
            let to = uri.authority().map_or("", |it| it.as_str());
            DialError::Proxy(name.to_owned(), to.to_owned(), why)
        };
        let scheme = proxy.uri().scheme_str().unwrap_or("http");
        match scheme {
            "http" if uri.scheme_str() == Some("http") => {
                let tcp = self.direct(proxy.uri()).await?;
                let auth = proxy.basic_auth().cloned();
                Ok((tcp, Some(Through { auth })))
            }
            "http" => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), self.tcp.clone());
                if let Some(auth) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(auth.clone());
                }
                let uri = with_port(uri);
                let tcp: TokioIo<TcpStream> = tunnel
                    .call(uri)
                    .await
                    .map_err(|error| failed(chain(&error)))?;
                Ok((tcp.into_inner(), None))
            }
            "socks5" | "socks5h" => {
                let mut socks = SocksV5::new(proxy.uri().clone(), self.tcp.clone())
                    .local_dns(scheme == "socks5");
                if let Some((user, password)) = proxy.raw_auth() {
                    socks = socks.with_auth(user.to_owned(), password.to_owned());
                }
                let uri = with_port(uri);
                let tcp: TokioIo<TcpStream> = socks
                    .call(uri)
                    .await
                    .map_err(|error| failed(chain(&error)))?;
                Ok((tcp.into_inner(), None))
            }
            other => Err(DialError::Scheme(other.to_owned())),
        }
    }
}

/// The URL with its port spelled out.
fn with_port(uri: &Uri) -> Uri {
    if uri.port().is_some() {
        return uri.clone();
    }
    let port = if uri.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    let mut parts = uri.clone().into_parts();
    parts.authority = parts
        .authority
        .and_then(|it| format!("{it}:{port}").parse().ok());
    Uri::from_parts(parts).unwrap_or_else(|_no_detail| uri.clone())
}

/// A TLS setup that trusts `roots`; with none of them for those who speak no TLS: the certificates are not read.
pub(crate) fn tls(roots: Option<Roots>) -> Result<ClientConfig, ProxyError> {
    let mut store = RootCertStore::empty();
    if let Some(roots) = roots {
        trust(&mut store, roots)?;
    }
    let provider = tokio_rustls::rustls::crypto::ring::default_provider();
    Ok(ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| ProxyError::Tls(error.to_string()))?
        .with_root_certificates(store)
        .with_no_client_auth())
}

fn trust(store: &mut RootCertStore, roots: Roots) -> Result<(), ProxyError> {
    if roots != Roots::Bundled {
        let found = rustls_native_certs::load_native_certs();
        let (good, _) = store.add_parsable_certificates(found.certs);
        if good == 0 && roots == Roots::Platform {
            let why = found.errors.first().map(ToString::to_string);
            return Err(ProxyError::Tls(why.unwrap_or_else(|| {
                "the platform has no certificates; is ca-certificates installed?".to_owned()
            })));
        }
    }
    if roots != Roots::Platform {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(())
}

/// A TLS setup that offers HTTP/2 and HTTP/1.1, and one that offers HTTP/1.1 only.
fn connectors(roots: Roots) -> Result<(TlsConnector, TlsConnector), ProxyError> {
    let config = tls(Some(roots))?;
    let with = |protocols: &[&[u8]]| {
        let mut config = config.clone();
        config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    };
    Ok((with(&[b"h2", b"http/1.1"]), with(&[b"http/1.1"])))
}

/// A connection, encrypted or not.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(it) => Pin::new(it).poll_read(cx, buffer),
            Self::Tls(it) => Pin::new(it).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(it) => Pin::new(it).poll_write(cx, bytes),
            Self::Tls(it) => Pin::new(it).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(it) => Pin::new(it).poll_write_vectored(cx, slices),
            Self::Tls(it) => Pin::new(it).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(it) => it.is_write_vectored(),
            Self::Tls(it) => it.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(it) => Pin::new(it).poll_flush(cx),
            Self::Tls(it) => Pin::new(it).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(it) => Pin::new(it).poll_shutdown(cx),
            Self::Tls(it) => Pin::new(it).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_is_asked_for_a_port() {
        let port = |text: &str| with_port(&text.parse().unwrap()).to_string();
        assert_eq!(port("https://a.example/"), "https://a.example:443/");
        assert_eq!(port("http://a.example/"), "http://a.example:80/");
        assert_eq!(port("https://a.example:8443/"), "https://a.example:8443/");
    }

    #[test]
    fn certificates_come_with_the_program() {
        assert!(connectors(Roots::Bundled).is_ok());
    }
}
