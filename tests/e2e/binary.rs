//! The real binary, driven from outside: what it is told, what it prints, how it ends.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use acquaint_client::Identifier;
use acquaint_core::{
    credential::{Claims, Credential, Pseudonym, Scope},
    manifest::SignedManifest,
    oprf::{self, Mode, OprfElement, Padding},
};
use acquaint_proto::v1::{
    RegistryServiceEvaluateRequest, RegistryServiceGetManifestRequest,
    admin_service_client::AdminServiceClient, discovery_service_client::DiscoveryServiceClient,
    registry_service_client::RegistryServiceClient,
};
use acquaint_server::keystore::Keys;
use serde_json::Value;
use tempfile::TempDir;
use tonic::{
    Request,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::world;

/// Longer than anything here takes on a busy machine; only a failing test waits for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(10);

/// What `acquaint init` made, and nothing running.
pub struct Installation {
    directory: TempDir,
    /// Standard error of the servers, and credentials: what is not the server's own.
    outside: TempDir,
    pub pin: String,
}

/// A running `acquaint serve`, killed when dropped.
pub struct Serving<'a> {
    site: &'a Installation,
    child: Child,
    lines: Receiver<String>,
    /// The first line that it printed.
    pub hello: Value,
    pub url: String,
    log: PathBuf,
}

/// How a command ended and what it printed.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The binary with an environment that has nothing of the developer's.
pub fn acquaint(arguments: &[&str]) -> Command {
    let mut command = Command::new(world::binary());
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Ran {
    run_with_input(command, &[])
}

/// Runs a command to its end; `input` is what it reads, if anything.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Ran {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut child = Killed(child);
    let stdout = collect(child.0.stdout.take().unwrap());
    let stderr = collect(child.0.stderr.take().unwrap());
    if let Some(mut stdin) = child.0.stdin.take() {
        stdin.write_all(input).unwrap();
    }
    let status = wait(&mut child.0, PATIENCE);
    let status = status.unwrap_or_else(|| panic!("{command:?} did not end in {PATIENCE:?}"));
    Ran { code: status.code(), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        kill(&mut self.0);
    }
}

fn kill(child: &mut Child) {
    // One that has ended cannot be killed, which is as good.
    drop(child.kill());
    drop(child.wait());
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}

fn wait(child: &mut Child, at_most: Duration) -> Option<ExitStatus> {
    poll(at_most, || child.try_wait().unwrap())
}

/// Asks until there is an answer, or until the time is over.
pub fn poll<T>(at_most: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let answer = ask();
        if answer.is_some() || start.elapsed() > at_most {
            return answer;
        }
        thread::sleep(POLL);
    }
}

impl Ran {
    /// It did what was asked.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// The one object that was printed.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The one message on standard error, with or without `--json`; log lines and notes about
    /// single lines of a file do not count.
    #[track_caller]
    pub fn error(&self) -> String {
        assert!(self.code.is_some_and(|code| code != 0), "{self:?}");
        let mut objects = Vec::new();
        let mut text = String::new();
        for line in self.stderr.lines().filter(|line| !line.starts_with("line ")) {
            match serde_json::from_str::<Value>(line) {
                Ok(object) if object.get("timestamp").is_some() => {}
                Ok(object) => objects.push(object["error"].as_str().unwrap().to_owned()),
                Err(_) => text = text + line + "\n",
            }
        }
        if let [message] = &objects[..] {
            assert_eq!(text, "", "{self:?}");
            return message.clone();
        }
        assert!(objects.is_empty() && text.starts_with("error: "), "{self:?}");
        assert_eq!(text.matches("error: ").count(), 1, "{self:?}");
        text
    }
}

impl Installation {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        let made = run(&mut acquaint(&["--json", "init", path])).ok().json();
        let pin = made["pin"].as_str().unwrap().to_owned();
        Self { directory, outside: tempfile::tempdir().unwrap(), pin }
    }

    /// The directory that `init` filled.
    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// A file that is not the server's.
    pub fn outside(&self, name: &str) -> PathBuf {
        self.outside.path().join(name)
    }

    /// Writes such a file.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.outside(name);
        fs::write(&path, content).unwrap();
        path.into_os_string().into_string().unwrap()
    }

    /// A command that finds the configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = acquaint(arguments);
        command.env("ACQUAINT_CONFIG", self.path("acquaint.toml"));
        command
    }

    /// Mints a credential and gives its text.
    pub fn mint(&self, account: &str, scope: &str, valid_for: &str) -> String {
        let arguments = ["credential", "mint", "--account", account, "--scope", scope];
        let ran = run(self.command(&arguments).args(["--valid-for", valid_for])).ok();
        ran.stdout.trim().to_owned()
    }

    /// The text of an authentic credential that has expired.
    pub fn expired(&self, account: &str) -> String {
        let keys = Keys::load(&self.path("keys")).unwrap();
        let (key_id, key) = keys.newest_credential().unwrap();
        let claims = Claims {
            tenant: "default".parse().unwrap(),
            audience: "acquaint".parse().unwrap(),
            pseudonym: Pseudonym::of_account(&keys.pseudonym, account.as_bytes()),
            scope: Scope::Discover,
            class: 0,
            issued_at: 1,
            expires_at: 2,
            account_since: 0,
            key_id,
        };
        Credential::mint(key, &claims).expose_text().to_owned()
    }

    /// A file with a credential that lasts.
    pub fn credential(&self, account: &str, scope: &str) -> String {
        self.write(&format!("{account}.cred"), self.mint(account, scope, "1h"))
    }

    /// `acquaint serve` on a free port, with fields of the configuration overridden.
    pub fn serve_command(&self, overrides: &[(&str, &str)]) -> Command {
        let mut command = self.command(&["--json", "serve"]);
        command
            .env("ACQUAINT__LISTEN", "127.0.0.1:0")
            .env("ACQUAINT__PUBLICATION__DELAY_MS", "0")
            .envs(overrides.iter().copied());
        command
    }

    pub fn serve(&self) -> Serving<'_> {
        self.serve_with(&[])
    }

    pub fn serve_with(&self, overrides: &[(&str, &str)]) -> Serving<'_> {
        self.start(&mut self.serve_command(overrides))
    }

    /// Starts a server and waits until it listens.
    pub fn start(&self, command: &mut Command) -> Serving<'_> {
        let log = self.outside("serve.log");
        let append = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(append).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                // The test may have ended.
                drop(sender.send(line.unwrap()));
            }
        });
        let mut serving = Serving {
            site: self,
            child,
            lines,
            hello: Value::Null,
            url: String::new(),
            log: log.clone(),
        };
        let first = serving.lines.recv_timeout(PATIENCE);
        let first = first.unwrap_or_else(|error| {
            panic!("{error}: {}", fs::read_to_string(&log).unwrap_or_default())
        });
        serving.hello = serde_json::from_str(&first).unwrap();
        let (_, port) = serving.hello["address"].as_str().unwrap().rsplit_once(':').unwrap();
        serving.url = format!("https://localhost:{port}");
        serving
    }
}

impl Serving<'_> {
    /// A client command that knows where the server is, with a credential from a file.
    pub fn command(&self, arguments: &[&str], credential_file: &str) -> Command {
        let mut command = acquaint(arguments);
        command
            .args(["--server", &self.url, "--pin", &self.site.pin])
            .args(["--credential-file", credential_file, "--ca"])
            .arg(self.site.path("tls/certificate.pem"));
        command
    }

    /// Looks an address book up: identifiers and labels that were found, sorted.
    pub fn discover(&self, file: &str, credential_file: &str) -> Vec<(String, String)> {
        let arguments = ["--json", "discover", file, "--region", "DE"];
        matches(&run(&mut self.command(&arguments, credential_file)).ok().json())
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        kill(&mut self.child);
    }

    /// Waits for the end: the exit code, and what was printed after the first line.
    pub fn wait(&mut self, at_most: Duration) -> Option<i32> {
        let status = wait(&mut self.child, at_most);
        status.unwrap_or_else(|| panic!("the server did not end in {at_most:?}")).code()
    }

    /// SIGTERM, and a clean end.
    pub fn stop(mut self) {
        self.signal("TERM");
        assert_eq!(self.wait(PATIENCE), Some(0), "{}", self.log());
        let rest = self.lines.recv_timeout(PATIENCE);
        assert_eq!(rest, Err(RecvTimeoutError::Disconnected), "one object is printed");
    }

    /// What was logged so far, by all servers of this installation.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the log has a line.
    pub fn wait_for_log(&self, text: &str) {
        let found = poll(PATIENCE, || self.log().contains(text).then_some(()));
        assert!(found.is_some(), "{text} is not in {}", self.log());
    }

    /// An endpoint of the server, over TLS.
    pub fn endpoint(&self) -> Endpoint {
        world::install_provider();
        let root = fs::read(self.site.path("tls/certificate.pem")).unwrap();
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(root));
        Endpoint::from_shared(self.url.clone()).unwrap().tls_config(tls).unwrap()
    }

    pub async fn channel(&self) -> Channel {
        self.endpoint().connect().await.unwrap()
    }

    pub async fn discovery(&self) -> DiscoveryServiceClient<Channel> {
        DiscoveryServiceClient::new(self.channel().await)
    }

    pub async fn registry(&self) -> RegistryServiceClient<Channel> {
        RegistryServiceClient::new(self.channel().await)
    }

    /// Epoch and OPRF outputs of identifiers, as a registrar gets them: blinded, evaluated,
    /// verified, unblinded.
    pub async fn outputs(
        &self,
        identifiers: &[Identifier],
        registrar: &str,
    ) -> (u32, Vec<OprfElement>) {
        let mut registry = self.registry().await;
        let request = authorized(RegistryServiceGetManifestRequest {}, registrar);
        let answer = registry.get_manifest(request).await.unwrap().into_inner();
        let signed = SignedManifest::try_from(answer.manifest.unwrap()).unwrap();
        let manifest = signed.verify(&self.site.pin.parse().unwrap()).unwrap();
        let inputs: Vec<&[u8]> = identifiers.iter().map(Identifier::as_bytes).collect();
        let blinding = oprf::blind(Mode::Voprf, &inputs, Padding::None, &mut rand::rng()).unwrap();
        let request = RegistryServiceEvaluateRequest {
            epoch: manifest.current().epoch,
            blinded_elements: blinding.to_bytes().into(),
        };
        let answer = registry.evaluate(authorized(request, registrar)).await.unwrap().into_inner();
        let (evaluated, proof) = (&answer.evaluated_elements, &answer.proof);
        let verified = blinding.verify(&manifest.current().public_key, evaluated, proof).unwrap();
        (manifest.current().epoch, verified.unblind())
    }

    /// The operator's service, over the socket.
    pub async fn admin(&self) -> AdminServiceClient<Channel> {
        admin(&self.site.path("admin.sock")).await
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The operator's service behind a socket.
pub async fn admin(socket: &Path) -> AdminServiceClient<Channel> {
    let address = format!("unix://{}", socket.display());
    AdminServiceClient::new(Endpoint::from_shared(address).unwrap().connect().await.unwrap())
}

/// A request with a credential.
pub fn authorized<T>(message: T, credential: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {credential}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// What a lookup found, sorted: identifiers and labels.
pub fn matches(found: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = found["matches"].as_array().unwrap().iter();
    let mut rows: Vec<_> =
        rows.map(|row| (text(&row["identifier"]), text(&row["label"]))).collect();
    rows.sort();
    rows
}

/// A file of the repository's samples.
pub fn sample(name: &str) -> String {
    format!("{}/samples/{name}", env!("CARGO_MANIFEST_DIR"))
}
