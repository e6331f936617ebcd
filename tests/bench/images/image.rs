//! Images that xorriso creates, and their contents.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use bootwright::disk::repo::ImageRegistry;

/// The file that the readers download.
pub(crate) const FILE: &str = "large.bin";

/// Files per directory, as many as in a package pool.
const FILES_PER_DIRECTORY: usize = 1_000;

/// An image with one large file, and that file.
pub(crate) struct Large {
    pub(crate) image: PathBuf,
    /// The directory with the file.
    pub(crate) tree: PathBuf,
}

/// Creates an image with one file of this size in MiB.
pub(crate) fn large(disk: &Path, size: u64) -> anyhow::Result<Large> {
    let tree = disk.join("large");
    fs::create_dir(&tree)?;
    let mut file = BufWriter::new(File::create(tree.join(FILE))?);
    // Random bytes, so that nothing can compress them.
    let mut state = 1u64;
    let mut part = vec![0; 1 << 20];
    for _ in 0..size {
        for word in part.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        file.write_all(&part)?;
    }
    file.flush()?;
    let image = make(disk, &tree)?;
    Ok(Large { image, tree })
}

/// Creates an image with this number of small files.
pub(crate) fn many(disk: &Path, files: usize) -> anyhow::Result<PathBuf> {
    let tree = disk.join("many");
    for number in 0..files {
        let folder = tree.join(format!("pool-{:03}", number / FILES_PER_DIRECTORY));
        if number.is_multiple_of(FILES_PER_DIRECTORY) {
            fs::create_dir_all(&folder)?;
        }
        let name = format!("package-with-a-name_{number:06}.deb");
        fs::write(folder.join(name), number.to_string())?;
    }
    make(disk, &tree)
}

fn make(disk: &Path, tree: &Path) -> anyhow::Result<PathBuf> {
    let image = tree.with_extension("iso");
    let output = Command::new("xorriso")
        .args(["-as", "mkisofs", "-quiet", "-R", "-o"])
        .args([&image, tree])
        .current_dir(disk)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "xorriso: {said}");
    Ok(image)
}

/// Indexes an image without a cache. Returns the duration.
pub(crate) fn index(image: &Path, files: usize) -> anyhow::Result<Duration> {
    let images = ImageRegistry::default();
    let began = Instant::now();
    let read = images.at(image).with_index(|index| index.entries().len());
    let took = began.elapsed();
    let entries = read.map_err(|error| anyhow::anyhow!("{}: {error}", image.display()))?;
    anyhow::ensure!(entries >= files, "only {entries} of {files} are found");
    Ok(took)
}
