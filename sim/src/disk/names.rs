//! The names on the simulated disk, as they are and as they were synced.
//!
//! A name change is pending until one of the directories that it touches is synced.

use super::lock;
use super::pages::Pages;
use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

/// What a name stands for.
#[derive(Clone)]
pub(super) enum Node {
    Directory,
    File(Arc<Mutex<Pages>>),
}

type Tree = BTreeMap<String, Node>;

/// One step that happens whole or not at all: what each of these paths becomes.
type NameChange = Vec<(String, Option<Node>)>;

/// All names of a disk. The root needs none.
#[derive(Default)]
pub(super) struct Names {
    present: Tree,
    synced: Tree,
    pending: Vec<NameChange>,
}

impl Names {
    pub fn file(&self, path: &str) -> io::Result<Arc<Mutex<Pages>>> {
        match self.present.get(path) {
            Some(Node::File(pages)) => Ok(pages.clone()),
            Some(Node::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Makes an empty file in a directory that is there.
    pub fn create_file(&mut self, path: &str) -> io::Result<Arc<Mutex<Pages>>> {
        self.require_directory(parent(path))?;
        let pages = Arc::<Mutex<Pages>>::default();
        self.change(vec![(path.to_owned(), Some(Node::File(pages.clone())))]);
        Ok(pages)
    }

    pub fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let pages = self.file(from)?;
        self.require_directory(parent(to))?;
        if matches!(self.present.get(to), Some(Node::Directory)) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if from != to {
            self.change(vec![(from.to_owned(), None), (to.to_owned(), Some(Node::File(pages)))]);
        }
        Ok(())
    }

    pub fn remove(&mut self, path: &str) -> io::Result<()> {
        self.file(path)?;
        self.change(vec![(path.to_owned(), None)]);
        Ok(())
    }

    pub fn create_directory(&mut self, path: &str) -> io::Result<()> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for directory in ends.map(|end| &path[..end]).filter(|directory| !directory.is_empty()) {
            match self.present.get(directory) {
                Some(Node::Directory) => {}
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => self.change(vec![(directory.to_owned(), Some(Node::Directory))]),
            }
        }
        Ok(())
    }

    pub fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.require_directory(path)?;
        let names = self.present.keys().filter(|name| parent(name) == path);
        Ok(names.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).collect())
    }

    /// Makes the names in a directory durable.
    pub fn sync(&mut self, directory: &str) -> io::Result<()> {
        self.require_directory(directory)?;
        let touches = |change: &NameChange| change.iter().any(|(path, _)| parent(path) == directory);
        let (touching, rest) = std::mem::take(&mut self.pending).into_iter().partition(touches);
        self.pending = rest;
        let touching: Vec<NameChange> = touching;
        touching.into_iter().for_each(|change| apply(&mut self.synced, change));
        Ok(())
    }

    /// Keeps some first part of each directory's pending changes, and forgets names whose directory is gone.
    pub fn lose_power(&mut self, random: &mut Random) {
        let mut kept_by_directory: BTreeMap<String, bool> = BTreeMap::new();
        for change in std::mem::take(&mut self.pending) {
            let directory = change.last().map_or("", |(path, _)| parent(path)).to_owned();
            let kept = kept_by_directory.entry(directory).or_insert(true);
            *kept = *kept && random.chance(600_000);
            if *kept {
                apply(&mut self.synced, change);
            }
        }
        keep_reachable(&mut self.synced);
        self.present = self.synced.clone();
    }

    /// The names that would survive any power cut, each file as `copy` makes it.
    pub fn durable(&self, copy: impl Fn(&Pages) -> Pages) -> Names {
        let mut tree = self.synced.clone();
        keep_reachable(&mut tree);
        Names::synced(copy_tree(&tree, copy))
    }

    /// A file that would survive any power cut.
    pub fn durable_file(&self, path: &str) -> io::Result<Arc<Mutex<Pages>>> {
        match self.synced.get(path) {
            Some(Node::File(pages)) if self.is_reachable(path) => Ok(pages.clone()),
            Some(Node::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The names in a directory that would survive any power cut.
    pub fn durable_list(&self, path: &str) -> io::Result<Vec<String>> {
        let is_there = path.is_empty() || self.synced.contains_key(path) && self.is_reachable(path);
        if !is_there {
            return Err(io::ErrorKind::NotFound.into());
        }
        let names = self.synced.keys().filter(|name| parent(name) == path);
        Ok(names.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).collect())
    }

    /// Whether all directories that a path is in are synced.
    fn is_reachable(&self, path: &str) -> bool {
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        above.into_iter().all(|directory| matches!(self.synced.get(directory), Some(Node::Directory)))
    }

    /// The names as they are, each file as `copy` makes it; all of them synced.
    pub fn live(&self, copy: impl Fn(&Pages) -> Pages) -> Names {
        Names::synced(copy_tree(&self.present, copy))
    }

    fn synced(tree: Tree) -> Names {
        Names { present: tree.clone(), synced: tree, pending: Vec::new() }
    }

    /// Every file's content, once.
    pub fn files(&self) -> Vec<Arc<Mutex<Pages>>> {
        self.paths().map(|(_, pages)| pages.clone()).collect()
    }

    /// Every file, by path.
    pub fn paths(&self) -> impl Iterator<Item = (&str, &Arc<Mutex<Pages>>)> {
        self.present.iter().filter_map(|(path, node)| match node {
            Node::File(pages) => Some((path.as_str(), pages)),
            Node::Directory => None,
        })
    }

    fn change(&mut self, change: NameChange) {
        apply(&mut self.present, change.clone());
        self.pending.push(change);
    }

    fn require_directory(&self, path: &str) -> io::Result<()> {
        match self.present.get(path) {
            _ if path.is_empty() => Ok(()),
            Some(Node::Directory) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Forgets names whose directory is gone.
fn keep_reachable(tree: &mut Tree) {
    let mut reachable = BTreeSet::from([String::new()]);
    // A directory sorts before what is in it.
    tree.retain(|path, node| {
        let kept = reachable.contains(parent(path));
        if kept && matches!(node, Node::Directory) {
            reachable.insert(path.clone());
        }
        kept
    });
}

fn copy_tree(tree: &Tree, copy: impl Fn(&Pages) -> Pages) -> Tree {
    let node = |node: &Node| match node {
        Node::Directory => Node::Directory,
        Node::File(pages) => Node::File(Arc::new(Mutex::new(copy(&lock(pages))))),
    };
    tree.iter().map(|(path, entry)| (path.clone(), node(entry))).collect()
}

fn apply(tree: &mut Tree, change: NameChange) {
    for (path, node) in change {
        match node {
            Some(node) => tree.insert(path, node),
            None => tree.remove(&path),
        };
    }
}

/// The directory that a path is in; the root is empty.
fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}
