//! What a letter says, to whom, and which wording may go out.

pub mod approvals;
mod evidence;
mod pauses;
mod recipient_and_content;
mod reminders;
