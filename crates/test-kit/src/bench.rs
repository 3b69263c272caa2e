//! What benchmarks say beside their figures, and where they write.

use std::path::Path;

/// The processor and the number of its cores, as far as Linux tells.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = (text.lines())
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    format!("{cores} cores, {model}, {}", std::env::consts::OS)
}

/// Writes a file whose path begins at the repository's root, because `cargo bench` runs a benchmark in
/// its package's folder. Folders are made.
pub fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join(path);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}
