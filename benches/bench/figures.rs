//! Figures with their goals, and the table that shows them.

#[derive(Clone, Copy, Debug)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Shown for comparison; more is better.
    More,
    /// The same; less is better.
    Less,
}

#[derive(Clone, Debug)]
pub struct Figure {
    pub name: String,
    pub unit: &'static str,
    goal: Goal,
    /// One per round.
    samples: Vec<f64>,
}

impl Figure {
    pub fn new(name: impl Into<String>, unit: &'static str, goal: Goal, samples: Vec<f64>) -> Self {
        Self { name: name.into(), unit, goal, samples }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut samples = self.samples.clone();
        samples.sort_by(f64::total_cmp);
        samples
    }

    pub fn median(&self) -> f64 {
        percentile(&self.sorted(), 0.5)
    }

    /// Above 1 is better than the goal.
    fn ratio(&self) -> Option<f64> {
        match self.goal {
            Goal::AtLeast(goal) => Some(self.median() / goal),
            Goal::AtMost(goal) => Some(goal / self.median()),
            Goal::More | Goal::Less => None,
        }
    }

    /// How this compares with another measurement of the same figure. Above 1 is better.
    fn relative_to(&self, other: &Self) -> f64 {
        match self.goal {
            Goal::AtLeast(_) | Goal::More => self.median() / other.median(),
            Goal::AtMost(_) | Goal::Less => other.median() / self.median(),
        }
    }

    fn row(&self) -> String {
        let sorted = self.sorted();
        let goal = match self.goal {
            Goal::AtLeast(goal) => format!("≥ {} {}", number(goal), self.unit),
            Goal::AtMost(goal) => format!("≤ {} {}", number(goal), self.unit),
            Goal::More | Goal::Less => String::new(),
        };
        let range = match (sorted.first(), sorted.last()) {
            (Some(first), Some(last)) if sorted.len() > 1 => {
                format!("{} – {}", number(*first), number(*last))
            }
            _ => String::new(),
        };
        let (ratio, verdict) = match self.ratio() {
            Some(ratio) => (format!("{ratio:.2}"), if ratio >= 1.0 { "ok" } else { "not" }),
            None => (String::new(), ""),
        };
        format!(
            "| {} | {goal} | {} {} | {range} | {ratio} | {verdict} |",
            self.name,
            number(self.median()),
            self.unit
        )
    }
}

/// The element below which this fraction of a sorted list lies.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index of a list that fits into memory"
)]
pub fn percentile<T: Copy>(sorted: &[T], fraction: f64) -> T {
    sorted[((sorted.len() as f64 * fraction) as usize).min(sorted.len() - 1)]
}

/// Three significant digits, or whole.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 => {
            let digits = format!("{value:.0}");
            let (thousands, rest) = digits.split_at(digits.len() - 3);
            format!("{thousands},{rest}")
        }
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Prints the table, as Markdown.
pub fn print(figures: &[Figure]) {
    println!("| figure | goal | median | lowest – highest | × goal | |");
    println!("|---|---|---|---|---|---|");
    for figure in figures {
        println!("{}", figure.row());
    }
}

/// Prints how the same figures compare with a large history behind them. The goal is 0.85.
pub fn print_grown(empty: &[Figure], grown: &[Figure]) {
    println!("| figure | empty | grown | grown × empty | |");
    println!("|---|---|---|---|---|");
    // The receivers to compare with have no history.
    let is_ours =
        |figure: &&Figure| !figure.name.ends_with("bare axum") && !figure.name.ends_with("Express");
    for figure in grown.iter().filter(is_ours) {
        let Some(other) = empty.iter().find(|other| other.name == figure.name) else { continue };
        let ratio = figure.relative_to(other);
        println!(
            "| {} | {} {unit} | {} {unit} | {ratio:.2} | {} |",
            figure.name,
            number(other.median()),
            number(figure.median()),
            if ratio >= 0.85 { "ok" } else { "not" },
            unit = figure.unit
        );
    }
}
