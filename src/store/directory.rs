//! Objects as files under one directory: the embedded default for one machine.

use super::{Body, Capabilities, Meta, ObjectStore, Probed, PutOptions, Receipt, StoreError, StoreErrorKind, StoreResult};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IoSlice, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Begins the name of a file that is being written; such a file is no object, and is left over only by a killed process.
const TEMPORARY_PREFIX: &str = ".kferry-partial-";
/// Slices handed to one `writev`; Linux takes at most 1024 (IOV_MAX).
const VECTORED_SLICES_MAX: usize = 256;

/// Stores each object as a file; what is acknowledged survives a power cut.
///
/// It offers no retention and no versions. Symbolic links that an operator puts below the root are followed.
pub struct DirectoryStore {
    root: PathBuf,
}

impl DirectoryStore {
    /// Names the root, which is created with the first object.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Runs what blocks on the disk away from the reactor.
    fn blocking<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce(&Path, PathBuf) -> StoreResult<T> + Send + 'static,
    ) -> BoxFuture<'static, StoreResult<T>> {
        let root = self.root.clone();
        let path = path_of(&root, key);
        async move {
            let path = path?;
            let ended = tokio::task::spawn_blocking(move || work(&root, path)).await;
            ended.unwrap_or_else(|e| Err(StoreError::new(StoreErrorKind::Permanent, format!("the disk worker ends early: {e}"))))
        }
        .boxed()
    }
}

impl ObjectStore for DirectoryStore {
    fn put<'a>(&'a self, key: &'a str, body: Body, options: PutOptions) -> BoxFuture<'a, StoreResult<Receipt>> {
        self.blocking(key, move |_, path| {
            if options.retain_until.is_some() {
                return Err(StoreError::new(StoreErrorKind::Permanent, "a directory cannot hold objects under retention"));
            }
            write(&path, &body, options.if_absent).map_err(|e| classify(&path, &e))?;
            Ok(Receipt::default())
        })
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, StoreResult<Bytes>> {
        self.blocking(key, |_, path| fs::read(&path).map(Bytes::from).map_err(|e| classify(&path, &e)))
    }

    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> BoxFuture<'a, StoreResult<Bytes>> {
        self.blocking(key, move |_, path| read_range(&path, range).map_err(|e| classify(&path, &e)))
    }

    fn head<'a>(&'a self, key: &'a str) -> BoxFuture<'a, StoreResult<Option<Meta>>> {
        let name = key.to_owned();
        self.blocking(key, move |_, path| match fs::metadata(&path) {
            Ok(found) if found.is_file() => Ok(Some(Meta { key: name, size_bytes: found.len(), etag: None, version_id: None, sha256: None })),
            Ok(_) => Ok(None),
            Err(e) if absent(&e) => Ok(None),
            Err(e) => Err(classify(&path, &e)),
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, StoreResult<Vec<Meta>>> {
        // Only the folders of the prefix are a path; its last component may be the beginning of a name.
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let prefix = prefix.to_owned();
        self.blocking(folder, move |root, folder| {
            let mut found = Vec::new();
            walk(root, &folder, &prefix, &mut found).map_err(|e| classify(&folder, &e))?;
            found.sort_by(|a: &Meta, b: &Meta| a.key.cmp(&b.key));
            Ok(found)
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, StoreResult<()>> {
        self.blocking(key, |_, path| match fs::remove_file(&path) {
            Err(e) if !absent(&e) => Err(classify(&path, &e)),
            _ => Ok(()),
        })
    }

    fn probe(&self, _: Option<Timestamp>) -> BoxFuture<'_, Probed> {
        let tried = self.blocking("", |root, _| {
            // The root comes into being with the first object; until then its nearest ancestor speaks for it.
            let folder = root.ancestors().find(|p| p.exists()).unwrap_or(Path::new("."));
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            let probe = temporary_in(folder).map_err(|e| classify(folder, &e))?;
            let tried = write_parts(&probe, &[Bytes::from_static(b"probe")]).and_then(|()| fs::read(&probe));
            let removed = fs::remove_file(&probe);
            let read = tried.map_err(|e| classify(folder, &e))?;
            removed.map_err(|e| classify(folder, &e))?;
            if read != b"probe" {
                return Err(StoreError::new(StoreErrorKind::Permanent, format!("{} does not return what was written", folder.display())));
            }
            Ok(())
        });
        // A directory has no retention, which the configuration refuses to ask of it.
        let capabilities = Capabilities { object_lock: Some(false), ..Capabilities::default() };
        async move { Probed { capabilities, failures: tried.await.err().into_iter().collect(), unseen: Vec::new() } }.boxed()
    }

    fn location(&self, key: &str) -> String {
        self.root.join(key).display().to_string()
    }
}

/// The file of a key; the empty key is the root itself.
fn path_of(root: &Path, key: &str) -> StoreResult<PathBuf> {
    let mut path = root.to_owned();
    for component in key.split('/').filter(|_| !key.is_empty()) {
        let odd = component.is_empty() || component == "." || component == ".." || component.contains('\0');
        if odd || component.starts_with(TEMPORARY_PREFIX) {
            return Err(StoreError::new(StoreErrorKind::Permanent, format!("{key:?} is no key: {component:?} cannot be a file's name")));
        }
        path.push(component);
    }
    Ok(path)
}

/// Writes the content to a file beside its place, makes it durable, and then gives it its name.
fn write(path: &Path, body: &Body, if_absent: bool) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
    create_folders(folder)?;
    if if_absent && path.exists() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let temporary = temporary_in(folder)?;
    let named = write_parts(&temporary, body.parts()).and_then(|()| {
        if !if_absent {
            return fs::rename(&temporary, path);
        }
        // A rename would replace what another has put there meanwhile; a link never does.
        fs::hard_link(&temporary, path)?;
        fs::remove_file(&temporary)
    });
    if named.is_err() {
        // Best effort: what remains is no object.
        let _ = fs::remove_file(&temporary);
    }
    named?;
    File::open(folder)?.sync_all()
}

fn write_parts(path: &Path, parts: &[Bytes]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(path)?;
    for group in parts.chunks(VECTORED_SLICES_MAX) {
        let mut slices: Vec<IoSlice<'_>> = group.iter().map(|p| IoSlice::new(p)).collect();
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            match file.write_vectored(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
    file.sync_all()
}

/// Creates an empty file of a name that nobody else uses.
fn temporary_in(folder: &Path) -> io::Result<PathBuf> {
    let random = getrandom::u64().map_err(|e| io::Error::other(e.to_string()))?;
    let path = folder.join(format!("{TEMPORARY_PREFIX}{random:016x}"));
    OpenOptions::new().write(true).create_new(true).open(&path)?;
    Ok(path)
}

/// Creates missing folders, each durable in the one above it.
fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        create_folders(above)?;
        match fs::create_dir(folder) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        File::open(above)?.sync_all()?;
    }
    Ok(())
}

fn read_range(path: &Path, range: Range<u64>) -> io::Result<Bytes> {
    let mut file = File::open(path)?;
    let end = range.end.min(file.metadata()?.len());
    let mut content = Vec::with_capacity(end.saturating_sub(range.start) as usize);
    file.seek(SeekFrom::Start(range.start))?;
    file.take(end.saturating_sub(range.start)).read_to_end(&mut content)?;
    Ok(content.into())
}

fn walk(root: &Path, folder: &Path, prefix: &str, found: &mut Vec<Meta>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(e) if absent(&e) => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let path = entry?.path();
        let Some(key) = path.strip_prefix(root).ok().and_then(Path::to_str) else { continue };
        if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(TEMPORARY_PREFIX)) {
            continue;
        }
        // What another process deletes while we list was not there.
        let Ok(meta) = fs::metadata(&path) else { continue };
        if meta.is_dir() {
            if key.starts_with(prefix) || prefix.starts_with(key) {
                walk(root, &path, prefix, found)?;
            }
        } else if key.starts_with(prefix) {
            found.push(Meta { key: key.to_owned(), size_bytes: meta.len(), etag: None, version_id: None, sha256: None });
        }
    }
    Ok(())
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn classify(path: &Path, error: &io::Error) -> StoreError {
    let kind = match error.kind() {
        ErrorKind::NotFound => StoreErrorKind::NotFound,
        ErrorKind::AlreadyExists => StoreErrorKind::AlreadyExists,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreErrorKind::Permission,
        // Room can be made and a remote disk can come back while kferry waits.
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::TimedOut | ErrorKind::StaleNetworkFileHandle => {
            StoreErrorKind::Transient
        }
        _ => StoreErrorKind::Permanent,
    };
    StoreError::new(kind, format!("{}: {}", path.display(), error.to_string().to_lowercase()))
}

#[cfg(test)]
mod tests;
