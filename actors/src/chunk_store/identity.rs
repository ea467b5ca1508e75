//! Who a data directory is: the file `STORE`.
//!
//! It is replaced as a whole (written beside, made durable, renamed), so that a power cut leaves the old or the new
//! one. A directory that has segments but no such file is refused: a store never takes another identity over its
//! data.
//!
//! | bytes | |
//! |---|---|
//! | 0..8 | magic `DFS-STO\n` |
//! | 8..12 | format version |
//! | 12..16 | one if there is a cluster id |
//! | 16..32 | store id |
//! | 32..48 | store mark |
//! | 48..64 | cluster id |
//! | 64..68 | CRC32C of all before |

use super::record::{Owner, u32_at, u128_at};
use crate::disk::Disk;
use dfs_core::id::{ClusterId, StoreId};
use std::io;

const PATH: &str = "STORE";
const NEW_PATH: &str = "STORE.new";
const MAGIC: [u8; 8] = *b"DFS-STO\n";
const VERSION: u32 = 1;
const BYTES: usize = 68;

/// What `STORE` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The store and its mark.
    pub owner: Owner,
    /// The cluster that the store belongs to, once it does.
    pub cluster: Option<ClusterId>,
}

impl Identity {
    /// Reads it; nothing if there is no such file yet.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if the file is damaged or of another version.
    pub fn load(disk: &dyn Disk) -> io::Result<Option<Identity>> {
        let file = match disk.open(PATH, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut bytes = [0; BYTES + 1];
        let length = file.read_at(0, &mut bytes)?;
        Identity::decode(&bytes[..length]).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Makes it durable in place of what was there.
    pub fn save(&self, disk: &dyn Disk) -> io::Result<()> {
        let file = disk.open(NEW_PATH, true)?;
        file.set_length(0)?;
        file.write_at(0, &[io::IoSlice::new(&self.encode())])?;
        file.sync_data()?;
        disk.rename(NEW_PATH, PATH)?;
        disk.sync_directory("")
    }

    fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &MAGIC);
        put(8, &VERSION.to_le_bytes());
        put(12, &u32::from(self.cluster.is_some()).to_le_bytes());
        put(16, &self.owner.store.0.to_le_bytes());
        put(32, &self.owner.mark.to_le_bytes());
        put(48, &self.cluster.map_or(0, |cluster| cluster.0).to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..64]);
        bytes[64..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Identity> {
        let whole = bytes.len() == BYTES
            && bytes[..8] == MAGIC
            && crc32c::crc32c(&bytes[..64]) == u32_at(bytes, 64)
            && u32_at(bytes, 8) == VERSION;
        whole.then(|| Identity {
            owner: Owner { store: StoreId(u128_at(bytes, 16)), mark: u128_at(bytes, 32) },
            cluster: (u32_at(bytes, 12) == 1).then(|| ClusterId(u128_at(bytes, 48))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_identity_survives_its_encoding(store: u128, mark: u128, cluster: Option<u128>) {
            let identity =
                Identity { owner: Owner { store: StoreId(store), mark }, cluster: cluster.map(ClusterId) };
            prop_assert_eq!(Identity::decode(&identity.encode()), Some(identity));
        }

        #[test]
        fn arbitrary_bytes_are_no_identity(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(Identity::decode(&bytes), None);
        }

        #[test]
        fn a_flipped_bit_is_noticed(bit in 0..BYTES * 8) {
            let owner = Owner { store: StoreId(7), mark: 8 };
            let mut bytes = Identity { owner, cluster: Some(ClusterId(9)) }.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Identity::decode(&bytes), None);
        }
    }
}
