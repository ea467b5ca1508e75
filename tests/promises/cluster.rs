//! Real local clusters for tests: started by the launcher, stopped and removed when the last test lets go.

use rustix::process::Pid;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Clusters that run at once: each has several processes, and the machine few cores.
const CLUSTERS_MAX: usize = 2;
/// How long a condition may take to become true before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// A running cluster in a directory of its own.
pub struct Cluster {
    directory: TempDir,
    _slot: Slot,
}

/// The executable under test.
pub fn executable() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfs-under-test"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DFS_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

impl Cluster {
    /// Starts a cluster of this shape.
    pub fn start(metadata: u16, storage: u16) -> Cluster {
        let slot = Slot::take();
        let directory = TempDir::new().expect("a temporary directory");
        let cluster = Cluster { directory, _slot: slot };
        let (metadata, storage) = (metadata.to_string(), storage.to_string());
        cluster.launcher(&["up", "-m", &metadata, "-s", &storage, "-d"]).succeeds();
        cluster
    }

    /// The cluster that tests which break nothing share: three and three.
    pub fn shared() -> Arc<Cluster> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let cluster = Arc::new(Cluster::start(3, 3));
            *shared = Arc::downgrade(&cluster);
            cluster
        })
    }

    /// The launcher's directory.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("cluster")
    }

    /// A place for a test's own files.
    pub fn scratch(&self) -> TempDir {
        TempDir::new_in(self.directory.path()).expect("a temporary directory")
    }

    /// Runs `cluster VERB … --dir D`.
    pub fn launcher(&self, arguments: &[&str]) -> Ran {
        let mut command = executable();
        command.arg("cluster").args(arguments).arg("--dir").arg(self.path());
        Ran::of(command)
    }

    /// A command against this cluster, to be run by the caller.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = executable();
        command.args(arguments).env("DFS_CLUSTER", self.path());
        command
    }

    /// Runs a command against this cluster.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Ran {
        Ran::of(self.command(arguments))
    }

    /// Uploads a file under a name.
    pub fn upload(&self, file: &Path, name: &str) -> Ran {
        self.run(&["upload".as_ref(), "--file".as_ref(), file.as_os_str(), "--name".as_ref(), name.as_ref()])
    }

    /// Downloads a name to a file.
    pub fn download(&self, name: &str, file: &Path) -> Ran {
        self.run(&["download".as_ref(), "--name".as_ref(), name.as_ref(), "--out".as_ref(), file.as_os_str()])
    }

    /// Uploads bytes under a name and expects success.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let scratch = self.scratch();
        let file = scratch.path().join("source");
        std::fs::write(&file, bytes).expect("a file");
        self.upload(&file, name).succeeds();
    }

    /// Downloads a name and answers its bytes.
    pub fn get(&self, name: &str) -> Vec<u8> {
        let scratch = self.scratch();
        let file = scratch.path().join("copy");
        self.download(name, &file).succeeds();
        std::fs::read(&file).expect("the downloaded file")
    }

    /// What `VERB … --json` prints.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let ran = self.run(&[arguments, &["--json"]].concat()).succeeds();
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.out))
    }

    /// The names that `list` shows.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let listed = self.json(&["list", "--prefix", prefix]);
        let files = listed["files"].as_array().expect("files");
        files.iter().map(|file| file["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// The launcher's name of the metadata leader.
    pub fn leader(&self) -> String {
        let nodes = self.json(&["nodes"]);
        let metadata = nodes["metadata"].as_array().expect("metadata nodes");
        let leader = metadata.iter().find(|node| node["leader"] == true).expect("a leader");
        leader["name"].as_str().expect("a name").to_owned()
    }

    /// What the launcher says of a node: its process and its address.
    fn local(&self, node: &str) -> serde_json::Value {
        let status = self.launcher(&["status", "--json"]).succeeds();
        let status: serde_json::Value = serde_json::from_str(&status.out).expect("JSON");
        let found = status["nodes"].as_array().expect("nodes").iter().find(|other| other["name"] == node).cloned();
        found.unwrap_or_else(|| panic!("no {node}"))
    }

    /// The process of a node.
    pub fn process(&self, node: &str) -> Pid {
        let pid = self.local(node)["pid"].as_u64().expect("a running process");
        Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("a process id")
    }

    /// The address of a node.
    pub fn address(&self, node: &str) -> String {
        self.local(node)["address"].as_str().expect("an address").to_owned()
    }

    /// The data directory of a node.
    pub fn data(&self, node: &str) -> PathBuf {
        self.path().join("nodes").join(node).join("data")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.launcher(&["down", "--purge"]);
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub out: String,
    /// What it complained of.
    pub err: String,
}

impl Ran {
    /// Runs a command to its end, within [`PATIENCE`] twice over.
    pub fn of(mut command: Command) -> Ran {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the executable starts");
        Ran::from(finish(child, PATIENCE * 2))
    }

    /// Panics unless it succeeded.
    #[track_caller]
    pub fn succeeds(self) -> Ran {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        self
    }

    /// Panics unless it failed with this code, in one or two lines that contain this text and no trace.
    #[track_caller]
    pub fn fails(self, code: i32, text: &str) -> Ran {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        assert!(self.err.contains(text), "{text:?} is not in:\n{}", self.err);
        // What takes long shows its progress in between.
        let is_progress =
            |line: &&str| ["uploading ", "downloading ", "checking "].iter().any(|word| line.starts_with(word));
        let said = self.err.lines().filter(|line| !is_progress(line)).count();
        assert!(said <= 3, "more than an error and its hint:\n{}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Waits for a process, and kills it if it takes too long.
pub fn finish(child: Child, patience: Duration) -> Output {
    let id = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    #[allow(clippy::disallowed_methods, reason = "a test outside of any node")]
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(patience) {
        Ok(output) => output.expect("the process can be waited for"),
        Err(_) => {
            if let Some(pid) = rustix::process::Pid::from_raw(i32::try_from(id).expect("a process id")) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            panic!("a command did not end within {patience:?}");
        }
    }
}

/// Waits until a condition holds.
#[track_caller]
pub fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    wait_within(PATIENCE, what, holds);
}

/// Waits until a condition holds, for so long.
#[track_caller]
#[allow(clippy::disallowed_methods, reason = "a test outside of any node")]
pub fn wait_within(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < end, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Bytes that look random and are the same every time.
pub fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        // xorshift64* (Vigna 2016)
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    };
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| next().to_le_bytes()).collect();
    bytes.truncate(length);
    bytes
}

/// One of the few places for clusters that run at once.
struct Slot;

static TAKEN: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Slot {
    fn take() -> Slot {
        let taken = TAKEN.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken =
            TAKEN.1.wait_while(taken, |taken| *taken >= CLUSTERS_MAX).unwrap_or_else(PoisonError::into_inner);
        *taken += 1;
        Slot
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *TAKEN.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        TAKEN.1.notify_one();
    }
}
