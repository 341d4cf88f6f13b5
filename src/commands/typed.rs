//! The command that asks for a recorded download, as it is typed.

use crate::commands::options::Recorded;
use crate::content::hash::hex;
use crate::download::{quoted, quoted_path};
use crate::gateway::error::without_credentials;
use crate::store::DownloadRow;

/// The one that fetches it once more from the beginning.
pub fn anew(row: &DownloadRow) -> String {
    get(row, "")
}

/// The one that waits for it while another process fetches it. There is none for a standard
/// output, which belongs to that process.
pub fn waiting(row: &DownloadRow) -> Option<String> {
    row.path.as_ref().map(|_| get(row, " --wait"))
}

/// The same content from the same sources to the same place.
fn get(row: &DownloadRow, flag: &str) -> String {
    let recorded = Recorded::from_json(&row.options_json);
    let place = row
        .path
        .as_deref()
        .map_or_else(|| "-".to_owned(), quoted_path);
    let is_car = if row.kind == "car" { " --car" } else { "" };
    let sum = match (&recorded.checksum, row.expected_sha256) {
        (Some(checksum), _) => format!(" --checksum {}", quoted(checksum)),
        (None, Some(sum)) => format!(" --sha256 {}", hex(&sum)),
        (None, None) => String::new(),
    };
    let gateways = recorded.gateways.iter().map(|url| ("--gateway", url));
    let mirrors = recorded.mirrors.iter().map(|url| ("--mirror", url));
    let asked = gateways.chain(mirrors).map(|(flag, url)| {
        let url = without_credentials(url);
        format!(" {flag} {}", quoted(&url))
    });
    let (source, what) = (quoted(&row.source), recorded.typed_of_what());
    let asked: String = asked.collect();
    format!("fetchd get{flag} {source} -o {place}{is_car}{sum}{what}{asked}")
}
