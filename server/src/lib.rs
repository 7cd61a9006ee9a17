//! The Acquaint service as a library: what `acquaint serve`, the demo and every test run.
//!
//! [`Server::bind`](serve::Server::bind) opens port, keys and store and publishes the directory;
//! [`Server::serve`](serve::Server::serve) answers until it is told to stop, then drains.
//!
//! **Guarantees.** No identifier reaches this crate. What is acknowledged is durable. A batch is
//! charged, durably, before its answer leaves. CPU work runs on the evaluator's pool, behind a
//! bounded queue. Logs carry counts, durations and codes.
//!
//! **Does not guarantee.** Whoever holds the key directory can test guesses against the registered
//! set. A restored old store is a valid store; clients notice by the chain of manifests.
//!
//! | module | subject |
//! |---|---|
//! | [`admission`] | credentials and quotas |
//! | [`config`] | what an operator configures |
//! | [`clock`] | time as an argument |
//! | [`directory`] | rows, keys, publication |
//! | [`evaluator`] | the CPU pool and its queue |
//! | [`export`] | the publication as files, for any web server |
//! | [`keystore`] | the key directory |
//! | [`reload`] | replaced certificates and credential keys |
//! | [`serve`] | binding, serving, stopping |
//! | [`services`] | the rpcs |
//! | [`store`] | what is on disk |
//! | [`tenant`] | what each tenant has for itself |
//! | [`transport`] | connections and their limits |

pub mod admission;
pub mod clock;
pub mod config;
pub mod directory;
pub mod evaluator;
pub mod export;
mod holdings;
pub mod keystore;
pub mod reload;
pub mod serve;
pub mod services;
pub mod store;
pub mod tenant;
pub mod transport;
