//! The authorization matrix: one row for each rpc.
//!
//! It is a `match` without a wildcard over an enumeration that is generated from the `.proto`
//! files: an rpc without a row does not compile. The door refuses whatever has none.

use acquaint_core::credential::Scope;
use acquaint_proto::Method;

/// Through which listener a call comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// The port for apps and registrars.
    Public,
    /// The operator's Unix socket; whoever may open it may do everything there.
    AdminSocket,
    /// The port for operators of single tenants, with mutual TLS.
    AdminPort,
}

/// Who may call an rpc, and what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What the credential must allow. The admin socket asks for none.
    pub scope: Scope,
    /// Whether calls draw on the caller's quota.
    pub quota: Draws,
}

/// Whether an rpc draws on the quota of its caller.
///
/// Whatever helps to answer "is X registered?" draws; whatever does not, says why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draws {
    /// One for each element.
    Elements,
    /// One for each element, if the tenant has a quota for registrars.
    RegistrarElements,
    /// Nothing, for a reason.
    Nothing(&'static str),
}

const PUBLISHED: Draws =
    Draws::Nothing("the same for everybody, and silent without an evaluated element");
const REGISTERS: Draws = Draws::Nothing(
    "takes evaluated elements only, and tells whether they were known to nobody \
                    but the registrar, who lists them",
);
const OPERATES: Draws = Draws::Nothing("counts, keys and files of the operator's own service");

/// The row of an rpc.
#[must_use]
pub const fn row(method: Method) -> Row {
    match method {
        Method::DiscoveryEvaluate => client(Draws::Elements),
        Method::DiscoveryGetQuota => client(Draws::Nothing("tells what is left, of nobody else")),
        Method::DiscoveryGetManifest
        | Method::DiscoveryFetchSegmentIndex
        | Method::DiscoveryFetchSet
        | Method::DiscoveryFetchLabels
        | Method::DiscoveryFetchDelta => client(PUBLISHED),
        Method::RegistryEvaluate => registrar(Draws::RegistrarElements),
        Method::RegistryGetManifest => registrar(PUBLISHED),
        Method::RegistryRegister | Method::RegistryUnregister => registrar(REGISTERS),
        Method::AdminPublish
        | Method::AdminListPublication
        | Method::AdminFetchFile
        | Method::AdminGetStatus
        | Method::AdminRotateKey
        | Method::AdminListKeys => operator(OPERATES),
    }
}

/// Rpcs of other packages that anybody may call on the public port: health, for load balancers,
/// and reflection, for tools. They name services and say whether the server runs.
const FOREIGN: [&str; 5] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Whether a path is one that anybody may call on the public port.
#[must_use]
pub fn is_open(path: &str) -> bool {
    FOREIGN.contains(&path)
}

const fn client(quota: Draws) -> Row {
    Row { scope: Scope::Discover, quota }
}

const fn registrar(quota: Draws) -> Row {
    Row { scope: Scope::Register, quota }
}

const fn operator(quota: Draws) -> Row {
    Row { scope: Scope::Admin, quota }
}

impl Row {
    /// Whether an rpc is served at an entrance.
    #[must_use]
    pub const fn is_served_at(&self, entrance: Entrance) -> bool {
        match self.scope {
            Scope::Admin => matches!(entrance, Entrance::AdminSocket | Entrance::AdminPort),
            // A new scope is served nowhere until it is named here.
            _ => {
                matches!(self.scope, Scope::Discover | Scope::Register)
                    && matches!(entrance, Entrance::Public)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_one_scope_and_one_kind_of_entrance() {
        for &method in Method::ALL {
            let row = row(method);
            let (scope, entrances) = match method.service() {
                "acquaint.v1.DiscoveryService" => (Scope::Discover, [true, false, false]),
                "acquaint.v1.RegistryService" => (Scope::Register, [true, false, false]),
                "acquaint.v1.AdminService" => (Scope::Admin, [false, true, true]),
                other => panic!("{other} is not known here"),
            };
            assert_eq!(row.scope, scope, "{}", method.path());
            let served = [Entrance::Public, Entrance::AdminSocket, Entrance::AdminPort]
                .map(|entrance| row.is_served_at(entrance));
            assert_eq!(served, entrances, "{}", method.path());
        }
    }

    #[test]
    fn whatever_evaluates_draws_on_a_quota_and_every_exemption_is_argued() {
        for &method in Method::ALL {
            let evaluates = method.name() == "Evaluate";
            match row(method).quota {
                Draws::Nothing(why) => {
                    assert!(!evaluates, "{}", method.path());
                    assert!(why.split_whitespace().count() > 4, "{}", method.path());
                }
                Draws::Elements | Draws::RegistrarElements => assert!(evaluates),
            }
        }
    }
}
