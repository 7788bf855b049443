//! What servers and clients say to each other.
//!
//! A TCP server greets with its name and a line end. A request is a line: a number, and padding after a
//! space if the line is to be longer. The answer is the server's name, a space and the number. A UDP
//! server answers each datagram with its name, a space and the datagram.

use crate::outcome::BreakCause;

/// The longest padding of a request, in bytes.
pub(crate) const LONGEST_PADDING: usize = 32 * 1024;

/// A request's line.
pub(crate) fn request(number: u64, padding: usize) -> String {
    if padding == 0 {
        format!("{number}\n")
    } else {
        format!("{number} {}\n", "x".repeat(padding.min(LONGEST_PADDING)))
    }
}

/// The answer of the server `name` to the request `line`.
pub(crate) fn answer(name: &str, line: &str) -> String {
    let number = line.split_whitespace().next().unwrap_or_default();
    format!("{name} {number}\n")
}

/// The name in a greeting.
pub(crate) fn greeted(line: &str) -> Result<&str, BreakCause> {
    match whole(line)? {
        name if !name.is_empty() && !name.contains(char::is_whitespace) => Ok(name),
        _ => Err(BreakCause::Garbled { line: line.to_owned() }),
    }
}

/// Whether `line` answers the request `number`, and from the backend that greeted.
pub(crate) fn check_answer(line: &str, greeted_by: &str, number: u64) -> Result<(), BreakCause> {
    let (name, answered) =
        whole(line)?.split_once(' ').ok_or_else(|| BreakCause::Garbled { line: line.to_owned() })?;
    if name != greeted_by {
        return Err(BreakCause::AnsweredByAnother { first: greeted_by.to_owned(), then: name.to_owned() });
    }
    if answered.parse() == Ok(number) { Ok(()) } else { Err(BreakCause::Garbled { line: line.to_owned() }) }
}

/// The name in the answer to the datagram `number`; none if it is to another datagram.
pub(crate) fn datagram_answer(datagram: &[u8], number: u64) -> Option<&str> {
    let (name, answered) = std::str::from_utf8(datagram).ok()?.split_once(' ')?;
    (answered.parse() == Ok(number)).then_some(name)
}

/// A line without its end; a stream that ended before one was closed by the server.
fn whole(line: &str) -> Result<&str, BreakCause> {
    line.strip_suffix('\n').ok_or(BreakCause::ClosedByServer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_who_answers_and_what() {
        let line = answer("b1", request(7, 100).as_str());
        assert_eq!(line, "b1 7\n");
        assert!(check_answer(&line, "b1", 7).is_ok());
        assert!(matches!(check_answer(&line, "b1", 8), Err(BreakCause::Garbled { .. })));
        let other = check_answer(&line, "b2", 7).unwrap_err();
        assert_eq!(other, BreakCause::AnsweredByAnother { first: "b2".to_owned(), then: "b1".to_owned() });
    }

    #[test]
    fn a_stream_that_ends_early_was_closed() {
        for cut in ["", "b", "b1 7"] {
            assert_eq!(check_answer(cut, "b1", 7), Err(BreakCause::ClosedByServer), "{cut:?}");
            assert_eq!(greeted(cut), Err(BreakCause::ClosedByServer), "{cut:?}");
        }
        assert!(matches!(greeted("two words\n"), Err(BreakCause::Garbled { .. })));
    }

    #[test]
    fn a_late_datagram_is_not_the_answer_awaited() {
        assert_eq!(datagram_answer(b"b3 12", 12), Some("b3"));
        assert_eq!(datagram_answer(b"b3 11", 12), None);
        assert_eq!(datagram_answer(b"\xff", 12), None);
    }
}
