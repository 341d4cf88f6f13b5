//! The configuration as text: the commented file that a user begins with.

use std::fmt::Write as _;

use crate::gateway::defaults::GATEWAYS;
use crate::settings::format::quoted;
use crate::settings::keys::{Keys, variable};

const HEAD: &str = "\
# Configuration of fetchd. Every key is here with its default; remove the # before one to change it.
# Flags win over environment variables, these over this file, this file over the defaults.
# Sizes: 20M = 20 x 2^20, 20MB = 20 x 10^6, 20MiB. Durations: 90s, 5m, 250ms, 1h30m, 7d.
";

const GATEWAYS_HEAD: &str = "
# The providers that content is asked of. Any table here replaces all built-in ones, which follow.
# Further keys of a table: priority (greater is asked earlier), connections, enabled, and headers,
# where ${VAR} is replaced from the environment, so that no secret needs to stand in this file:
#   headers = { Authorization = \"Bearer ${MY_TOKEN}\" }
# FETCHD_GATEWAYS, a list of URLs separated by spaces, replaces these tables.
";

/// A configuration file in which every key stands commented out with its default.
///
/// A line that begins with `#` and no space is a key; explanations begin with `# `.
pub fn template() -> String {
    let mut text = HEAD.to_owned();
    for entry in Keys::default().entries() {
        text.push('\n');
        for line in entry.about {
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(text, "#{line}");
        }
        let _ = writeln!(text, "# Environment: {}", variable(entry.key));
        let _ = writeln!(text, "#{} = {}", entry.key, entry.toml);
    }
    text.push_str(GATEWAYS_HEAD);
    for gateway in GATEWAYS {
        let _ = write!(
            text,
            "\n# {}\n#[[gateways]]\n#url = {}\n",
            gateway.note,
            quoted(gateway.url)
        );
    }
    text
}
