//! Enums that are single words in configurations, JSON and on screen.

/// A text that is none of the words it may be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is none of {}", known.join(", "))]
pub struct UnknownWord {
    /// The text.
    pub word: String,
    /// The words that it may be.
    pub known: &'static [&'static str],
}

/// Gives enums their words: `word`, `WORDS`, `Display` and `FromStr`.
macro_rules! words {
    ($($type:ty { $($variant:ident => $word:literal),+ $(,)? })+) => {$(
        impl $type {
            /// Every word there is for one.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word for it in configurations, JSON and on screen.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(self.word())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::words::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    other => Err($crate::words::UnknownWord { word: other.to_owned(), known: Self::WORDS }),
                }
            }
        }
    )+};
}

pub(crate) use words;
