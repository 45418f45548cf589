//! How a command ended, and the exit code that tells it to scripts.

use std::process::ExitCode;

/// The exit codes, as `--help` shows them. `docs/cli.md` says the same in more words.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed, or something is not as it should be
  2  the command line is wrong
  3  the node cannot be reached or does not answer
  4  no admin token, or a wrong one
  5  there is no such object
  6  a conflict: it exists, it is in use, or somebody else has changed it meanwhile";

/// How a command ended; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Exit code 0.
    Good,
    /// Exit code 1: whatever has no code of its own.
    Faulty,
    /// Exit code 3: no node, or no answer.
    Unreachable,
    /// Exit code 4: no token, or a wrong one.
    Denied,
    /// Exit code 5: no such object.
    Missing,
    /// Exit code 6: what is there does not allow it.
    Conflict,
}

// === Verdict ===

impl Verdict {
    /// The exit code. 2 is clap's, for a wrong command line.
    pub const fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Faulty => 1,
            Self::Unreachable => 3,
            Self::Denied => 4,
            Self::Missing => 5,
            Self::Conflict => 6,
        }
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        Self::from(verdict.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_has_a_code_of_its_own_that_the_help_tells() {
        use Verdict::{Conflict, Denied, Faulty, Good, Missing, Unreachable};
        let codes = [Good, Faulty, Unreachable, Denied, Missing, Conflict].map(Verdict::code);
        assert_eq!(codes, [0, 1, 3, 4, 5, 6]);
        for code in codes {
            assert!(EXIT_CODES.lines().any(|line| line.starts_with(&format!("  {code}  "))), "{code}");
        }
    }
}
