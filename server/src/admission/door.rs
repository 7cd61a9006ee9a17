//! The door: who calls, for which tenant, and whether the matrix lets them.
//!
//! Every call passes here before a byte of its message is read.

use std::{collections::BTreeSet, fmt, sync::Arc};

use acquaint_core::{
    credential::{Claims, CredentialError, CredentialVerifier, Scope},
    manifest::TenantName,
};
use acquaint_proto::{Method, Reason, Refusal};
use arc_swap::ArcSwap;
use http::HeaderMap;
use tonic::Status;
use tracing::{
    Span,
    field::{Empty, display},
};

use super::access::{self, Entrance};
use crate::{
    clock::Clock,
    tenant::{Tenant, Tenants},
};

/// What the connection says about whoever is at its other end.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// The tenants whose authorities have signed the peer's certificate.
    pub registrar_of: BTreeSet<TenantName>,
}

/// A call that was let in, and in whose name.
#[derive(Clone, Debug)]
pub enum Admitted {
    /// An rpc that is open to anybody.
    Anybody,
    /// The holder of a credential of a tenant, with the scope that the rpc asks for.
    Holder(Arc<Tenant>, Claims),
    /// The operator of the whole server.
    Operator,
}

/// Lets calls in, or not. One for each listener.
pub struct Door {
    entrance: Entrance,
    tenants: Arc<Tenants>,
    verifier: Arc<ArcSwap<CredentialVerifier>>,
    clock: Arc<dyn Clock>,
}

impl Door {
    /// A door to the tenants of a server. The verifier is shared: it changes when keys do.
    #[must_use]
    pub fn new(
        entrance: Entrance,
        tenants: Arc<Tenants>,
        verifier: Arc<ArcSwap<CredentialVerifier>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { entrance, tenants, verifier, clock }
    }

    /// Decides about a call by its path, its headers and its peer.
    ///
    /// # Errors
    /// `UNIMPLEMENTED` for a path without a row in the matrix or not served here; the refusals
    /// CREDENTIAL_MISSING, CREDENTIAL_INVALID, CREDENTIAL_EXPIRED, SCOPE_MISSING,
    /// CERTIFICATE_REQUIRED.
    pub fn admit(&self, path: &str, headers: &HeaderMap, peer: &Peer) -> Result<Admitted, Status> {
        let Some(method) = Method::of_path(path) else {
            let open = self.entrance == Entrance::Public && access::is_open(path);
            return if open { Ok(Admitted::Anybody) } else { Err(not_served()) };
        };
        let row = access::row(method);
        if !row.is_served_at(self.entrance) {
            return Err(not_served());
        }
        if self.entrance == Entrance::AdminSocket {
            return Ok(Admitted::Operator);
        }
        Ok(self.holder(headers, row.scope, peer)?)
    }

    fn holder(&self, headers: &HeaderMap, scope: Scope, peer: &Peer) -> Result<Admitted, Refusal> {
        let text = bearer(headers).ok_or(Reason::CredentialMissing)?;
        let claims = self.verifier.load().verify(text, self.clock.now_s());
        let claims = claims.map_err(|error| match error {
            CredentialError::Expired => Reason::CredentialExpired,
            _ => Reason::CredentialInvalid,
        })?;
        // The verifier knows the tenants of this server and no others.
        let tenant = self.tenants.get(&claims.tenant).ok_or(Reason::CredentialInvalid)?;
        if claims.scope != scope {
            return Err(Reason::ScopeMissing.into());
        }
        let needs_certificate = scope == Scope::Register && tenant.asks_for_certificates();
        if needs_certificate && !peer.registrar_of.contains(&claims.tenant) {
            return Err(Reason::CertificateRequired.into());
        }
        Ok(Admitted::Holder(tenant, claims))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(http::header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// What tonic says of an rpc that it does not know.
fn not_served() -> Status {
    Status::unimplemented("")
}

impl Admitted {
    /// Whose call it is, if it is an account's or registrar's of a tenant.
    ///
    /// # Errors
    /// INTERNAL if the call was not let in as such: a fault of the server, which stays closed.
    pub fn holder<T>(request: &tonic::Request<T>) -> Result<(Arc<Tenant>, Claims), Refusal> {
        match request.extensions().get() {
            Some(Self::Holder(tenant, claims)) => Ok((Arc::clone(tenant), claims.clone())),
            _ => Err(Refusal::new(Reason::Internal)),
        }
    }

    /// What the call is answered within: the tenant's name in every line of the log, which for the
    /// operator's calls [`Admitted::administered`] fills in.
    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Anybody => Span::none(),
            Self::Holder(tenant, _) => tenant.span().clone(),
            Self::Operator => tracing::error_span!("serve", tenant = Empty),
        }
    }

    /// The tenant that an operator's call is about: the one that is named, or the only one.
    ///
    /// # Errors
    /// TENANT_UNKNOWN, also for a tenant that the caller has no business with. INTERNAL as for
    /// [`Admitted::holder`].
    pub fn administered<T>(
        request: &tonic::Request<T>,
        tenants: &Tenants,
        named: &str,
    ) -> Result<Arc<Tenant>, Refusal> {
        let unknown = || Refusal::new(Reason::TenantUnknown).field("tenant");
        match request.extensions().get() {
            Some(Self::Holder(tenant, claims)) if claims.scope == Scope::Admin => {
                let own = named.is_empty() || tenant.name().as_str() == named;
                own.then(|| Arc::clone(tenant)).ok_or_else(unknown)
            }
            Some(Self::Operator) => {
                let tenant = match named.parse::<TenantName>() {
                    _ if named.is_empty() => tenants.only(),
                    Ok(name) => tenants.get(&name),
                    Err(_) => None,
                };
                let tenant = tenant.ok_or_else(unknown)?;
                Span::current().record("tenant", display(tenant.name()));
                Ok(tenant)
            }
            _ => Err(Refusal::new(Reason::Internal)),
        }
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("entrance", &self.entrance).finish_non_exhaustive()
    }
}
