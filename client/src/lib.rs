//! The SDK of Acquaint: private contact discovery for an app, and blind registration for the
//! operator's back end.
//!
//! A [`Client`] finds out which people of an [`AddressBook`] use the app; a [`Registrar`] lists
//! them. Neither ever sends an identifier: the server sees uniformly random group elements.
//!
//! # What it guarantees
//!
//! - **Nothing is believed unproven.** The manifest must be signed by the pinned key and follow
//!   the one seen before; each batch must be proven to be evaluated under its public key; set and
//!   labels must have its digests. Before that no output exists, and nothing is concluded.
//! - **Matching happens on the device.** Nothing derived from an OPRF output leaves the client
//!   during a lookup; the downloads are the same whatever matches.
//! - **Batches look alike.** They are padded to the classes of the manifest, shuffled, and cut
//!   from a shuffled address book.
//! - **Any place will do.** With [`Builder::static_files`], what is published comes from any web
//!   server, which is trusted with nothing.
//! - **TLS always.** There is no way to connect without it.
//! - **Failure is told as what to do next.** A [`ClientError`] says whether waiting helps, for
//!   how long, and what to correct; its texts are constants. Retries are bounded in time, honor
//!   what the server asks for, and repeat identical bytes, which are charged once.
//! - **Cancellation by drop.** Dropping a future stops what it started, on both sides. No runtime
//!   is created, no process-wide state is set, and nothing but the shared connection outlives a
//!   call.
//!
//! # What it does not
//!
//! - The server learns *that* an account looks up, when, and the class and number of its batches.
//! - An account may test guesses within its quota; so may whoever holds the server's key, against
//!   the registered set.
//! - The first manifest of an installation is taken on its signature alone. A [`StateStore`]
//!   remembers it, so that later ones are compared with it; without one, persist
//!   [`SyncOutcome::head`].
//! - Secrets are wiped when dropped, as far as Rust can see them: not the copies of moves, of the
//!   operating system, or of messages inside the transport.
//! - The names of an address book are kept as they are; they never leave the device.
//!
//! # Example
//!
//! ```no_run
//! use acquaint_client::{
//!     Client, Credential, FileStateStore, Progress, StaticCredential, address_book::Import,
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let address_book = Import::new()
//!     .default_region("DE".parse().ok())
//!     .read_path("contacts.vcf".as_ref())?;
//! for skipped in address_book.skipped() {
//!     eprintln!("line {}: {}", skipped.line, skipped.reason);
//! }
//!
//! // The pin ships with the app; the credential from its back end.
//! let credential = Credential::from_text(&std::fs::read_to_string("credential")?);
//! let client = Client::builder("https://discovery.example.org")
//!     .pin("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a".parse()?)
//!     .credentials(StaticCredential::new(credential))
//!     .state_store(FileStateStore::open("discovery")?)
//!     .build()?;
//!
//! let outcome = client
//!     .sync(&address_book, |progress| {
//!         if let Progress::Evaluate { done, total } = progress {
//!             eprintln!("{done} of {total} contacts");
//!         }
//!     })
//!     .await;
//! match outcome {
//!     Ok(outcome) => {
//!         for found in &outcome.matches {
//!             if let Some(contact) = address_book.contacts().get(found.contact) {
//!                 println!("{:?} is here", contact.names());
//!             }
//!         }
//!         println!("{} joined since the last time", outcome.changes.joined.len());
//!     }
//!     Err(error) if error.is_retryable() => {
//!         eprintln!("{error}; again in {:?}", error.retry_after());
//!     }
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```

pub mod address_book;
mod builder;
mod client;
mod connection;
mod cpu;
mod credentials;
mod discovery;
mod error;
mod fault;
pub mod limits;
mod outcome;
mod registrar;
mod registration;
mod retry;
pub mod state;
mod static_files;
#[cfg(test)]
mod testing;
mod traffic;
mod transport;
mod trust;
pub mod user_list;

pub use acquaint_core::{
    credential::Credential,
    identifier::Identifier,
    manifest::{ManifestHead, ManifestPin},
    tag::Label,
};

pub use address_book::AddressBook;
pub use builder::{BuildError, Builder};
pub use client::Client;
pub use credentials::{
    CredentialFuture, CredentialProvider, CredentialUnavailable, StaticCredential,
};
pub use error::{ClientError, Misbehavior};
pub use outcome::{Match, Pending, Progress, Quota, SyncOutcome, SyncReport};
pub use registrar::{RegisterError, Registered, Registrar, Removed, Visibility};
pub use state::{Changes, FileStateStore, MemoryStateStore, StateError, StateStore};
pub use traffic::{PhaseReport, Traffic};
