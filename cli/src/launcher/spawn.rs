//! Starting the process of a node.

use super::record::ClusterRecord;
use super::{Launcher, LauncherError, Layout, NodeName, Process, log_tail};
use crate::certificate::CertificateDirectory;
use crate::local_file;
use dfs_core::id::Role;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A log that has grown beyond this is put aside at the node's next start.
const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why a metadata node is started with more than its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// It takes up what it has.
    Ordinary,
    /// It initialises the cluster, unless that has been done.
    Initialising,
}

/// Starts a node and writes its pid file.
pub(super) fn spawn(
    launcher: &Launcher,
    record: &ClusterRecord,
    name: NodeName,
    start: Start,
) -> Result<Child, LauncherError> {
    let layout = &launcher.layout;
    super::layout::make_private(&layout.node(name))?;
    let settings = layout.settings(name);
    // The operator may have changed them.
    if !settings.exists() {
        local_file::replace(&settings, settings_text(record, name).as_bytes(), 0o644)
            .map_err(|error| LauncherError::file("write", &settings, error))?;
    }
    let log = layout.log(name);
    let (output, errors) = open_log(&log)
        .and_then(|file| Ok((file.try_clone()?, file)))
        .map_err(|error| LauncherError::file("write", &log, error))?;

    let mut command = Command::new(&launcher.executable);
    command.arg0("dfs-cli").arg("node").arg(name.role.word()).arg("--config").arg(&settings);
    if start == Start::Initialising {
        let members: Vec<String> = record.metadata().map(|(name, at)| format!("{}={at}", name.node)).collect();
        command.arg("--init").arg("--unless-done").arg("--members").arg(members.join(","));
        command.arg("--replication").arg(record.shape.replication().to_string());
    }
    if launcher.end_with_parent {
        command.arg("--end-with-parent").arg(std::process::id().to_string());
    }
    // Settings of the node come from its file alone, not from where the launcher happens to run.
    for (variable, _) in std::env::vars_os() {
        if variable.as_encoded_bytes().starts_with(b"DFS_") {
            command.env_remove(variable);
        }
    }
    // A process group of its own: Ctrl-C in the launcher's terminal is the launcher's to handle.
    command.process_group(0).current_dir(layout.node(name));
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    let spawned = command.spawn();
    let child =
        spawned.map_err(|cause| LauncherError::Spawn { name, executable: launcher.executable.clone(), cause })?;
    remember(layout, name, child)
}

/// Writes the pid file of a process that was started; a process that cannot be remembered is ended.
fn remember(layout: &Layout, name: NodeName, mut child: Child) -> Result<Child, LauncherError> {
    // A process that has ended already is found by its missing pid file, with its reason in the log.
    let written = match Process::with_pid(child.id()) {
        Some(process) => process.write(&layout.pid(name)),
        None => Ok(()),
    };
    match written {
        Ok(()) => Ok(child),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(LauncherError::file("write", &layout.pid(name), error))
        }
    }
}

fn open_log(path: &Path) -> std::io::Result<File> {
    if path.metadata().is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX) {
        std::fs::rename(path, path.with_extension("old"))?;
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    writeln!(file, "{}", log_tail::START)?;
    Ok(file)
}

/// The settings file of a node. Its paths are relative, so that the whole directory can be moved.
fn settings_text(record: &ClusterRecord, name: NodeName) -> String {
    let port = record.ports.get(&name).copied().unwrap_or_default();
    let files = CertificateDirectory::new(Path::new("../../certs")).files(name.role, &name.node.to_string());
    let mut text = format!(
        "# Settings of {name}; see `dfs-cli node --help`. Yours to change; removed, they are written anew.\n\
         node = {}\nlisten = \"127.0.0.1:{port}\"\ndata = \"data\"\n\
         ca = \"../../certs/ca.pem\"\ncertificate = \"{}\"\nkey = \"{}\"\n",
        name.node,
        files.certificate.display(),
        files.key.display()
    );
    if name.role == Role::Storage {
        let seeds: Vec<String> = record.metadata().map(|(_, address)| format!("\"{address}\"")).collect();
        text.push_str(&format!("metadata = [{}]\n", seeds.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::Shape;
    use dfs_nodes::settings::{NodeSettings, SettingsFile, Sources};

    #[test]
    fn the_launchers_settings_are_settings_that_a_node_takes() {
        let shape = Shape::new(3, 1).unwrap();
        let record = ClusterRecord { shape, ports: shape.names().zip(20_001..).collect(), cluster: None };
        for name in shape.names() {
            let text = settings_text(&record, name);
            let path = Path::new("/c/nodes/n/node.toml");
            let file = Some(SettingsFile { path, text: &text });
            let settings = NodeSettings::load(name.role, &Sources { file, ..Sources::default() }).unwrap();
            assert_eq!(settings.node, name.node);
            assert_eq!(Some(settings.listen), record.address(name));
            assert_eq!(settings.certificate, Path::new(&format!("/c/nodes/n/../../certs/{name}.pem")));
        }
    }
}
