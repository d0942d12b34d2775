//! Least squares: what each of a few causes costs, from rows of how much there was of each.

/// How much there was of each cause, and what they cost together.
pub(super) type Row = (Vec<f64>, f64);

/// Coefficients that explain `value` by `causes` best, none below zero; every row weighs by its
/// relative error, so that small configurations count as much as big ones.
///
/// A cause whose best coefficient would be negative explains nothing and is left out.
pub(super) fn fit(rows: &[Row]) -> Vec<f64> {
    let causes = rows.first().map_or(0, |(causes, _)| causes.len());
    let mut used: Vec<usize> = (0..causes).collect();
    loop {
        let found = solve(rows, &used);
        let lowest = used.iter().zip(&found).min_by(|a, b| a.1.total_cmp(b.1));
        match lowest {
            Some((cause, value)) if *value < 0.0 => {
                let cause = *cause;
                used.retain(|other| *other != cause);
            }
            _ => {
                let mut all = vec![0.0; causes];
                used.iter().zip(found).for_each(|(cause, value)| all[*cause] = value);
                return all;
            }
        }
    }
}

/// The normal equations of these causes, by elimination with pivots.
fn solve(rows: &[Row], used: &[usize]) -> Vec<f64> {
    let n = used.len();
    let mut matrix = vec![vec![0.0; n + 1]; n];
    for (causes, value) in rows.iter().filter(|(_, value)| *value > 0.0) {
        for (line, a) in matrix.iter_mut().zip(used) {
            for (cell, b) in line.iter_mut().zip(used) {
                *cell += causes[*a] * causes[*b] / (value * value);
            }
            line[n] += causes[*a] / value;
        }
    }
    for at in 0..n {
        let pivot = (at..n).max_by(|a, b| matrix[*a][at].abs().total_cmp(&matrix[*b][at].abs()));
        matrix.swap(at, pivot.unwrap_or(at));
        // A cause that never occurs has nothing to say.
        if matrix[at][at].abs() < f64::MIN_POSITIVE {
            continue;
        }
        let row = matrix[at].clone();
        for (other, line) in matrix.iter_mut().enumerate() {
            if other != at {
                let factor = line[at] / row[at];
                line.iter_mut().zip(&row).for_each(|(cell, of)| *cell -= factor * of);
            }
        }
    }
    let value = |at: usize| match matrix[at][at] {
        0.0 => 0.0,
        pivot => matrix[at][n] / pivot,
    };
    (0..n).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_again() {
        let row = |a: f64, b: f64| (vec![1.0, a, b], 0.5 + 2.0 * a + 0.25 * b);
        let rows = [row(1.0, 5.0), row(2.0, 1.0), row(7.0, 3.0), row(4.0, 100.0)];
        for (found, expect) in fit(&rows).into_iter().zip([0.5, 2.0, 0.25]) {
            assert!((found - expect).abs() < 1e-9, "{found} is not {expect}");
        }
    }

    #[test]
    fn no_cost_is_below_nothing() {
        let rows = [(vec![1.0, 0.0], 10.0), (vec![1.0, 1.0], 9.0), (vec![1.0, 2.0], 8.0)];
        let found = fit(&rows);
        assert_eq!(found[1], 0.0);
        assert!((8.0..=10.0).contains(&found[0]), "{found:?}");
        assert!(fit(&[]).is_empty());
    }
}
