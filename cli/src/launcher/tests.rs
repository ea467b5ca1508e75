use super::*;
use std::os::unix::fs::PermissionsExt;

/// A launcher whose "nodes" are a program that ends at once or one that runs until it is told to end.
fn launcher(world: &World, directory: &Path, program: &str) -> Launcher {
    let script = directory.join("program");
    std::fs::write(&script, format!("#!/bin/sh\n{program}\n")).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let settings = LauncherSettings { executable: Some(script), ..LauncherSettings::new(directory.join("cluster")) };
    Launcher::new(world, settings).unwrap()
}

/// Founds a cluster and starts its first node, as `up` does before it waits.
fn start_one(launcher: &Launcher) -> NodeName {
    launcher.layout.create().unwrap();
    let record = launcher.found(Shape::new(1, 1).unwrap()).unwrap();
    launcher.make_certificates(&record).unwrap();
    let name = record.shape.names().next().unwrap();
    let child = spawn::spawn(launcher, &record, name, Start::Ordinary).unwrap();
    launcher.children.lock().unwrap().push((name, child));
    name
}

const RUNS: &str = "exec sleep 600";

#[tokio::test]
async fn a_node_is_killed_and_its_pid_forgotten() {
    let world = World::production("test");
    let directory = tempfile::tempdir().unwrap();
    let launcher = launcher(&world, directory.path(), RUNS);
    let name = start_one(&launcher);
    let nodes = launcher.nodes().unwrap();
    assert_eq!(nodes.len(), 2);
    assert!(nodes[0].pid.is_some() && nodes[1].pid.is_none());
    launcher.kill(name).await.unwrap();
    assert!(launcher.running_nodes().unwrap().is_empty());
    assert!(!launcher.ended_by_itself(name));
    assert!(matches!(launcher.kill(name).await, Err(LauncherError::NotRunning { .. })));
    let unknown = "storage-9".parse().unwrap();
    assert!(matches!(launcher.kill(unknown).await, Err(LauncherError::NoNode { .. })));
}

#[tokio::test]
async fn another_launcher_stops_what_one_has_started() {
    let world = World::production("test");
    let directory = tempfile::tempdir().unwrap();
    let first = launcher(&world, directory.path(), RUNS);
    let name = start_one(&first);
    let second = launcher(&world, directory.path(), RUNS);
    assert_eq!(second.down().await.unwrap(), [name]);
    assert!(first.running(name).is_none());
    assert_eq!(second.purge().await.unwrap(), []);
    assert!(!directory.path().join("cluster").exists());
    assert!(matches!(second.purge().await, Err(LauncherError::NoCluster { .. })));
}

#[tokio::test]
async fn a_node_that_ends_while_it_starts_is_named_with_its_last_words() {
    let world = World::production("test");
    let directory = tempfile::tempdir().unwrap();
    let launcher = launcher(&world, directory.path(), "echo 'error: no disk' >&2; exit 1");
    let error = launcher.up(Some(1), Some(1)).await.unwrap_err();
    assert!(matches!(error, LauncherError::Ended { .. }), "{error}");
    assert!(
        error.to_string().starts_with("metadata-1 ended while it was starting; it logged last: no disk"),
        "{error}"
    );
    launcher.stop_started().await.unwrap();
    assert!(launcher.running_nodes().unwrap().is_empty());
}

#[tokio::test]
async fn another_shape_than_the_directorys_is_refused() {
    let world = World::production("test");
    let directory = tempfile::tempdir().unwrap();
    let launcher = launcher(&world, directory.path(), RUNS);
    assert!(matches!(launcher.up(Some(2), None).await, Err(LauncherError::Shape(_))));
    assert!(!directory.path().join("cluster").exists());
    launcher.layout.create().unwrap();
    launcher.found(Shape::new(1, 2).unwrap()).unwrap();
    let error = launcher.up(Some(3), None).await.unwrap_err();
    assert!(error.to_string().contains("use -m 1 -s 2"), "{error}");
    assert!(matches!(launcher.up(Some(1), Some(0)).await, Err(LauncherError::Shape(_))));
}

#[tokio::test]
async fn a_directory_with_something_else_in_it_is_left_alone() {
    let world = World::production("test");
    let directory = tempfile::tempdir().unwrap();
    let launcher = launcher(&world, directory.path(), RUNS);
    launcher.layout.create().unwrap();
    let file = directory.path().join("cluster/thesis.tex");
    std::fs::write(&file, "precious").unwrap();
    assert!(matches!(launcher.up(None, None).await, Err(LauncherError::ForeignDirectory { .. })));
    assert!(matches!(launcher.purge().await, Err(LauncherError::NoCluster { .. })));
    // Even beside a cluster it stays.
    launcher.record().unwrap_err();
    std::fs::remove_file(launcher.layout.lock()).unwrap();
    let record = ClusterRecord {
        shape: Shape::new(1, 1).unwrap(),
        ports: Shape::new(1, 1).unwrap().names().zip(20_001..).collect(),
        cluster: None,
    };
    record.write(&launcher.layout.record()).unwrap();
    launcher.purge().await.unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[tokio::test]
async fn destroying_ends_everything_at_once() {
    let world = World::production("test");
    let directory = tempfile::tempdir().unwrap();
    let launcher = launcher(&world, directory.path(), RUNS);
    let name = start_one(&launcher);
    let process = launcher.running(name).unwrap();
    launcher.destroy();
    assert!(!process.is_running());
    assert!(!directory.path().join("cluster").exists());
}
