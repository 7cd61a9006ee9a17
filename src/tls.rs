//! A self-signed certificate for trying out; a real service has one from an authority.

use anyhow::Context as _;

/// Certificate and private key, PEM.
pub(crate) struct SelfSigned {
    /// The certificate, which is also the root to trust.
    pub(crate) certificate: String,
    /// Its private key.
    pub(crate) key: String,
}

impl SelfSigned {
    /// A certificate for host names.
    pub(crate) fn for_hosts(hosts: Vec<String>) -> anyhow::Result<Self> {
        let signed = rcgen::generate_simple_self_signed(hosts)
            .context("the host name is not one that a certificate can carry")?;
        Ok(Self { certificate: signed.cert.pem(), key: signed.signing_key.serialize_pem() })
    }
}
