//! Processes of nodes: remembered in pid files, recognised for sure, signalled.
//!
//! A pid alone names no process: the system uses it again. A pid file therefore also has the start time of the process
//! (in the kernel's clock ticks since boot) and the boot; a process that differs in either is another one, and is
//! never signalled.

use crate::local_file;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use std::io;
use std::path::Path;

/// One process, for sure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pid: i32,
    started: u64,
    boot: String,
}

impl Process {
    /// The process that has this pid now.
    #[must_use]
    pub fn with_pid(pid: u32) -> Option<Process> {
        let pid = i32::try_from(pid).ok()?;
        Some(Process { pid, started: start_time(pid)?, boot: boot()? })
    }

    /// The process that a pid file names, if it has one.
    #[must_use]
    pub fn read(path: &Path) -> Option<Process> {
        let text = std::fs::read_to_string(path).ok()?;
        let mut words = text.split_whitespace();
        let pid = words.next()?.parse().ok().filter(|pid| *pid > 0)?;
        Some(Process { pid, started: words.next()?.parse().ok()?, boot: words.next()?.to_owned() })
    }

    /// Writes a pid file.
    ///
    /// # Errors
    /// The disk failed or is full.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        local_file::replace(path, format!("{} {} {}\n", self.pid, self.started, self.boot).as_bytes(), 0o600)
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it still runs. One that has ended and was not yet waited for does not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        start_time(self.pid) == Some(self.started) && boot().as_ref() == Some(&self.boot)
    }

    /// Sends it a signal, and says whether it was still there to get it.
    ///
    /// # Errors
    /// It belongs to somebody else.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(false) };
        // The descriptor is of whichever process has the pid now; if that is the right one, no other can get the
        // signal any more.
        let sent = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) if self.is_running() => pidfd_send_signal(process, signal),
            Err(Errno::NOSYS | Errno::PERM) if self.is_running() => kill_process(pid, signal),
            Ok(_) => Err(Errno::SRCH),
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// When a process that runs was started; see proc_pid_stat(5), fields 3 and 22.
fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The second field is the program's name in parentheses, with whatever it likes in it.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(started)
}

fn boot() -> Option<String> {
    Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_pid_file_names_one_process_for_sure() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let own = Process::with_pid(std::process::id()).unwrap();
        own.write(&path).unwrap();
        assert_eq!(Process::read(&path), Some(own.clone()));
        assert!(own.is_running());
        for other in [
            Process { started: own.started + 1, ..own.clone() },
            Process { boot: "00000000-0000-0000-0000-000000000000".to_owned(), ..own.clone() },
        ] {
            assert!(!other.is_running());
            // A signal that would end this test, were it sent.
            assert!(!other.signal(Signal::KILL).unwrap());
        }
        for text in ["", "1", "0 1 x", "-1 1 x", "x y z"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(Process::read(&path), None, "{text}");
        }
    }

    #[test]
    fn a_process_that_has_ended_does_not_run_even_before_it_is_waited_for() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let process = Process::with_pid(child.id()).unwrap();
        assert!(process.signal(Signal::KILL).unwrap());
        while process.is_running() {
            std::hint::spin_loop();
        }
        assert!(!process.signal(Signal::TERM).unwrap());
        child.wait().unwrap();
    }
}
