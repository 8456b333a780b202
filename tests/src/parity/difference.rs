//! The lines in which two texts differ, in order.

/// More lines than this are not compared one by one: no case of ours prints as many.
const LINES_MAX: usize = 3000;

/// Lines that only the first text has (`-`), and lines that only the second has (`+`): the shortest such list.
pub fn between(theirs: &str, ours: &str) -> Vec<String> {
    let (a, b): (Vec<&str>, Vec<&str>) = (theirs.lines().collect(), ours.lines().collect());
    if a == b {
        // The ends of the lines may still differ, which nothing else shows.
        return if theirs == ours { vec![] } else { vec!["+(another end of the last line)".into()] };
    }
    if a.len() > LINES_MAX || b.len() > LINES_MAX {
        return vec![format!("-{} lines", a.len()), format!("+{} other lines", b.len())];
    }
    let common = lengths(&a, &b);
    let (mut i, mut j, mut lines) = (0, 0, vec![]);
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(format!("-{}", a[i]));
            i += 1;
        } else {
            lines.push(format!("+{}", b[j]));
            j += 1;
        }
    }
    lines
}

/// The length of the longest common list of lines of all tails of both.
fn lengths(a: &[&str], b: &[&str]) -> Vec<Vec<u16>> {
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            table[i][j] = match a[i] == b[j] {
                true => table[i + 1][j + 1] + 1,
                false => table[i + 1][j].max(table[i][j + 1]),
            };
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_do_not_differ() {
        assert!(between("a\nb\n", "a\nb\n").is_empty() && between("", "").is_empty());
    }

    #[test]
    fn the_lines_that_differ_are_told() {
        assert_eq!(between("a\nb\nc\n", "a\nx\nc\nd\n"), ["-b", "+x", "+d"]);
        assert_eq!(between("a\n", ""), ["-a"]);
        assert_eq!(between("a\n", "a").len(), 1);
    }
}
