//! A directory of certificates and keys: `ca.pem` and `ca.key`, `ROLE-NAME.pem` with `ROLE-NAME.key` for each node and
//! client, and `client.pem` with `client.key` for the one client that development certificates are for. Keys are files of mode 0600 from the moment they exist, and are never shown.
//!
//! Deliberately absent: how certificates are made (`dfs_transport::authority`), and replacing what exists, but for
//! [`CertificateDirectory::complete`], which renews what it finds expired.

use crate::exit::Exit;
use crate::failure::{Failure, plain};
use crate::local_file;
use dfs_core::id::Role;
use dfs_transport::authority::{Authority, AuthorityError, describe};
use dfs_transport::world::World;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long certificates are valid where nothing else is said.
pub const VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);
/// A certificate that is valid for less than this is renewed by [`CertificateDirectory::complete`].
const RENEW_BEFORE: Duration = Duration::from_secs(24 * 3600);
/// The name of the client that development certificates are for.
const CLIENT: &str = "local";

/// A directory of certificates and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateDirectory(PathBuf);

/// The two files of one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why certificates cannot be made or read. The second line of each is what to do.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be used.
    #[error("cannot {doing} {}: {}", path.display(), plain(cause))]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
    /// Nothing that exists is replaced.
    #[error("{} exists already and is not replaced\nremove it first, or choose another directory with --dir", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// There is no authority to issue with.
    #[error("there is no authority in {}\nmake one with `dfs-cli certs ca --dir {}`", directory.display(), directory.display())]
    NoAuthority {
        /// The directory.
        directory: PathBuf,
    },
    /// A file is not what it should be.
    #[error("{}: {cause}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: AuthorityError,
    },
    /// A key that others can read is nobody's secret.
    #[error("the private key {} can be read by others than its owner\nchmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The key.
        path: PathBuf,
    },
    /// A certificate cannot be made as asked.
    #[error("{0}")]
    Authority(#[from] AuthorityError),
}

impl From<CertificateError> for Failure {
    fn from(error: CertificateError) -> Failure {
        let exit = match &error {
            CertificateError::File { cause, .. } if cause.kind() == io::ErrorKind::NotFound => Exit::NotFound,
            CertificateError::File { .. } | CertificateError::Content { .. } | CertificateError::Exposed { .. } => {
                Exit::LocalFile
            }
            CertificateError::Exists { .. } => Exit::AlreadyExists,
            CertificateError::NoAuthority { .. } => Exit::NotFound,
            CertificateError::Authority(_) => Exit::Usage,
        };
        Failure::new(exit, error)
    }
}

impl CertificateDirectory {
    /// The directory at `path`, which need not exist.
    #[must_use]
    pub fn new(path: &Path) -> CertificateDirectory {
        CertificateDirectory(path.to_owned())
    }

    /// The files of a node or client.
    #[must_use]
    pub fn files(&self, role: Role, name: &str) -> IdentityFiles {
        let path = |kind| self.0.join(format!("{role}-{name}.{kind}"));
        IdentityFiles { certificate: path("pem"), key: path("key") }
    }

    /// The files of the client that development certificates are for.
    #[must_use]
    pub fn client_files(&self) -> IdentityFiles {
        IdentityFiles { certificate: self.0.join("client.pem"), key: self.0.join("client.key") }
    }

    /// The files of the authority.
    #[must_use]
    pub fn authority_files(&self) -> IdentityFiles {
        IdentityFiles { certificate: self.0.join("ca.pem"), key: self.0.join("ca.key") }
    }

    /// Makes an authority.
    ///
    /// # Errors
    /// There is one, or its files cannot be written.
    pub fn create_authority(&self, world: &World) -> Result<Authority, CertificateError> {
        let files = self.authority_files();
        refuse_existing(&files)?;
        let authority = Authority::create(world)?;
        self.write(&files, authority.certificate_pem(), &authority.key_pem())?;
        Ok(authority)
    }

    /// The authority.
    ///
    /// # Errors
    /// There is none, or its files are not what they should be.
    pub fn authority(&self) -> Result<Authority, CertificateError> {
        let files = self.authority_files();
        if !files.certificate.exists() && !files.key.exists() {
            return Err(CertificateError::NoAuthority { directory: self.0.clone() });
        }
        let (certificate, key) = (read(&files.certificate)?, read(&files.key)?);
        Authority::from_pem(&certificate, &key).map_err(|cause| {
            let path = if matches!(cause, AuthorityError::NotItsKey) { files.key } else { files.certificate };
            CertificateError::Content { path, cause }
        })
    }

    /// Makes the certificate and key of a node or client.
    ///
    /// # Errors
    /// They exist, the authority is missing, or a peer of this role cannot have this name.
    pub fn issue(
        &self,
        world: &World,
        role: Role,
        name: &str,
        validity: Duration,
    ) -> Result<IdentityFiles, CertificateError> {
        let authority = self.authority()?;
        // The name becomes part of paths only after it was found to be a name.
        let issued = authority.issue(role, name, validity, world.wall_clock.now())?;
        let files = self.files(role, name);
        refuse_existing(&files)?;
        self.write(&files, &issued.certificate_pem, &issued.key_pem)?;
        Ok(files)
    }

    /// Makes whatever is missing of an authority, a client, and `nodes`; renews certificates that have expired or are
    /// about to. Gives the names of the files that it made.
    ///
    /// # Errors
    /// What exists is not what it should be, or files cannot be written.
    pub fn complete(
        &self,
        world: &World,
        nodes: impl IntoIterator<Item = (Role, String)>,
    ) -> Result<Vec<PathBuf>, CertificateError> {
        let mut made = Vec::new();
        let authority = match self.authority() {
            Err(CertificateError::NoAuthority { .. }) => {
                made.push(self.authority_files().certificate);
                self.create_authority(world)?
            }
            found => found?,
        };
        let now = world.wall_clock.now();
        let client = (Role::Client, CLIENT.to_owned(), self.client_files());
        let nodes = nodes.into_iter().map(|(role, name)| {
            let files = self.files(role, &name);
            (role, name, files)
        });
        for (role, name, files) in std::iter::once(client).chain(nodes) {
            let is_valid = files.key.exists()
                && files.certificate.exists()
                && inspect(&files.certificate)?.not_after.0 > now.0.saturating_add(millis(RENEW_BEFORE));
            if !is_valid {
                let issued = authority.issue(role, &name, VALIDITY, now)?;
                self.write(&files, &issued.certificate_pem, &issued.key_pem)?;
                made.push(files.certificate);
            }
        }
        Ok(made)
    }

    fn write(&self, files: &IdentityFiles, certificate: &str, key: &str) -> Result<(), CertificateError> {
        let failed = |path: &Path, cause| CertificateError::File { doing: "write", path: path.to_owned(), cause };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(|cause| failed(&self.0, cause))?;
        // The key comes first: a certificate without its key would look complete.
        local_file::replace(&files.key, key.as_bytes(), 0o600).map_err(|cause| failed(&files.key, cause))?;
        local_file::replace(&files.certificate, certificate.as_bytes(), 0o644)
            .map_err(|cause| failed(&files.certificate, cause))
    }
}

/// What the certificate in a file says.
///
/// # Errors
/// The file cannot be read, or has no certificate of this system.
pub fn inspect(path: &Path) -> Result<dfs_transport::authority::CertificateSummary, CertificateError> {
    describe(&read(path)?).map_err(|cause| CertificateError::Content { path: path.to_owned(), cause })
}

/// Refuses a private key that others than its owner can read. One that is not there is left to who reads it.
///
/// # Errors
/// [`CertificateError::Exposed`].
pub fn refuse_exposed_key(path: &Path) -> Result<(), CertificateError> {
    match path.metadata() {
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
            Err(CertificateError::Exposed { path: path.to_owned() })
        }
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<String, CertificateError> {
    std::fs::read_to_string(path).map_err(|cause| CertificateError::File {
        doing: "read",
        path: path.to_owned(),
        cause,
    })
}

fn refuse_existing(files: &IdentityFiles) -> Result<(), CertificateError> {
    match [&files.certificate, &files.key].into_iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(CertificateError::Exists { path: path.clone() }),
        None => Ok(()),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_transport::identity::Identity;

    #[tokio::test]
    async fn keys_are_for_their_owner_alone() {
        let world = World::production("test");
        let parent = tempfile::tempdir().unwrap();
        let directory = CertificateDirectory::new(&parent.path().join("certs"));
        directory.complete(&world, [(Role::Metadata, "1".to_owned())]).unwrap();
        for entry in std::fs::read_dir(&directory.0).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let is_key = entry.path().extension().is_some_and(|kind| kind == "key");
            assert_eq!(mode, if is_key { 0o600 } else { 0o644 }, "{:?}", entry.path());
        }
        assert_eq!(directory.0.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let files = directory.files(Role::Metadata, "1");
        Identity::load(&directory.authority_files().certificate, &files.certificate, &files.key).unwrap();
        refuse_exposed_key(&files.key).unwrap();
        std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = refuse_exposed_key(&files.key).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[tokio::test]
    async fn what_exists_is_not_replaced() {
        let world = World::production("test");
        let parent = tempfile::tempdir().unwrap();
        let directory = CertificateDirectory::new(parent.path());
        let nobody = directory.issue(&world, Role::Client, "me", VALIDITY).unwrap_err();
        assert!(matches!(nobody, CertificateError::NoAuthority { .. }));
        directory.create_authority(&world).unwrap();
        assert!(matches!(directory.create_authority(&world), Err(CertificateError::Exists { .. })));
        directory.issue(&world, Role::Client, "me", VALIDITY).unwrap();
        assert!(matches!(directory.issue(&world, Role::Client, "me", VALIDITY), Err(CertificateError::Exists { .. })));
        assert!(directory.issue(&world, Role::Client, "../me", VALIDITY).is_err());
        assert!(directory.issue(&world, Role::Storage, "one", VALIDITY).is_err());
    }

    #[tokio::test]
    async fn completing_makes_what_is_missing_and_renews_what_expires() {
        let world = World::production("test");
        let parent = tempfile::tempdir().unwrap();
        let directory = CertificateDirectory::new(parent.path());
        let nodes = || [(Role::Storage, "1".to_owned()), (Role::Storage, "2".to_owned())];
        assert_eq!(directory.complete(&world, nodes()).unwrap().len(), 4);
        assert_eq!(directory.complete(&world, nodes()).unwrap(), Vec::<PathBuf>::new());
        let soon = directory.files(Role::Storage, "1");
        std::fs::remove_file(&soon.certificate).unwrap();
        std::fs::remove_file(&soon.key).unwrap();
        directory.issue(&world, Role::Storage, "1", Duration::from_secs(3600)).unwrap();
        std::fs::remove_file(directory.files(Role::Storage, "2").key).unwrap();
        assert_eq!(directory.complete(&world, nodes()).unwrap().len(), 2);
    }
}
