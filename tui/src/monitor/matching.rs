//! How well a name answers to what is typed.

/// How well `name` answers to `typed`, the least number the best: it is that, begins so, has a word that begins so,
/// contains it, or has its letters in that order. `None` where it does not answer at all.
#[must_use]
pub fn rank(typed: &str, name: &str) -> Option<u8> {
    let (typed, name) = (typed.to_lowercase(), name.to_lowercase());
    let begins = |word: &str| word.starts_with(typed.as_str());
    if typed == name {
        Some(0)
    } else if begins(&name) {
        Some(1)
    } else if name.split([' ', '-', '.', ':', '/']).any(begins) {
        Some(2)
    } else if name.contains(&typed) {
        Some(3)
    } else {
        let mut letters = name.chars();
        typed
            .chars()
            .filter(|letter| !letter.is_whitespace())
            .all(|wanted| letters.any(|letter| letter == wanted))
            .then_some(4)
    }
}

/// Whether each word of `typed` stands somewhere in `text`, whatever the case.
#[must_use]
pub fn holds(typed: &str, text: &str) -> bool {
    let text = text.to_lowercase();
    typed.to_lowercase().split_whitespace().all(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_answer_has_the_lower_rank() {
        let ranks = |typed| ["drain", "drain-machine", "undrain", "end-drain"].map(|name| rank(typed, name));
        assert_eq!(ranks("drain"), [Some(0), Some(1), Some(3), Some(2)]);
        assert_eq!(ranks("DM"), [None, Some(4), None, None]);
        assert_eq!(ranks(""), [Some(1); 4]);
        assert_eq!(rank("zq", "drain"), None);
    }

    #[test]
    fn every_word_has_to_be_there() {
        assert!(holds("B1 act", "b1 10.0.0.1:80 active"));
        assert!(holds(" ", "anything"));
        assert!(!holds("b1 draining", "b1 10.0.0.1:80 active"));
    }
}
