//! The terminal as a window: a screen of its own that is drawn over in place, keys, and all as it was at the end.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use actix_web::rt::signal::unix::{Signal, SignalKind, signal};
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::queue;
use crossterm::style::Print;
use crossterm::terminal::{
    self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use super::frame::cut;
use crate::cli::screen::Screen;

/// How long a key may have to wait: nothing else runs on this thread meanwhile.
const POLL: Duration = Duration::from_millis(50);

/// What ends a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The time is over.
    Refresh,
    /// The window has another size.
    Redraw,
    /// Somebody has had enough.
    Leave,
}

/// An open window. It is closed on drop too, so that an error leaves a terminal that can be used.
pub(super) struct Window {
    is_open: bool,
    screen: Screen,
    /// They would leave the terminal as it is.
    signals: [Signal; 3],
}

// === Window ===

impl Window {
    pub(super) fn open(screen: Screen, output: &mut dyn Write) -> io::Result<Self> {
        let signals = [
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
        ];
        enable_raw_mode()?;
        let window = Self { is_open: true, screen, signals };
        let mut text = Vec::new();
        queue!(text, EnterAlternateScreen, Hide)?;
        draw(output, &text)?;
        Ok(window)
    }

    /// As wide as it is now.
    pub(super) fn screen(&self) -> Screen {
        let screen = self.screen;
        let width = terminal::size().map(|(width, _)| width).ok();
        Screen { width: width.or(screen.width), ..screen }
    }

    /// Draws over what is there. Lines that do not fit are left out; the last one is for what is wrong and for the keys.
    pub(super) fn show(&self, output: &mut dyn Write, text: &str, trouble: Option<&str>) -> io::Result<()> {
        let (_, height) = terminal::size()?;
        let room = usize::from(height.saturating_sub(1));
        let mut drawn = Vec::new();
        queue!(drawn, MoveTo(0, 0))?;
        for line in text.lines().take(room) {
            queue!(drawn, Print(line), Clear(ClearType::UntilNewLine), Print("\r\n"))?;
        }
        let last = trouble.map_or_else(|| "q leaves".to_owned(), |trouble| format!("q leaves  {trouble}"));
        queue!(drawn, Clear(ClearType::FromCursorDown), MoveTo(0, height.saturating_sub(1)))?;
        queue!(drawn, Print(cut(&last, self.screen().width)))?;
        draw(output, &drawn)
    }

    /// Waits for the next frame or for somebody.
    pub(super) async fn wait(&mut self, interval: Duration) -> io::Result<Event> {
        let end = Instant::now() + interval;
        let Self { signals: [terminate, interrupt, hangup], .. } = self;
        while Instant::now() < end {
            // Does not block: the pause is the runtime's.
            while event::poll(Duration::ZERO)? {
                if let Some(event) = meaning(&event::read()?) {
                    return Ok(event);
                }
            }
            let pause = actix_web::rt::time::sleep(POLL.min(end.saturating_duration_since(Instant::now())));
            tokio::select! {
                () = pause => {}
                _ = terminate.recv() => return Ok(Event::Leave),
                _ = interrupt.recv() => return Ok(Event::Leave),
                _ = hangup.recv() => return Ok(Event::Leave),
            }
        }
        Ok(Event::Refresh)
    }

    pub(super) fn close(mut self, output: &mut dyn Write) -> io::Result<()> {
        self.is_open = false;
        restore(output)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if self.is_open {
            // There is nobody left to tell.
            let _ = restore(&mut io::stdout());
        }
    }
}

/// In one write, so that nobody sees half a frame.
fn draw(output: &mut dyn Write, text: &[u8]) -> io::Result<()> {
    output.write_all(text)?;
    output.flush()
}

fn restore(output: &mut dyn Write) -> io::Result<()> {
    let mut text = Vec::new();
    queue!(text, Show, LeaveAlternateScreen)?;
    draw(output, &text).and(disable_raw_mode())
}

fn meaning(event: &event::Event) -> Option<Event> {
    match event {
        event::Event::Resize(..) => Some(Event::Redraw),
        event::Event::Key(key) if key.kind != KeyEventKind::Release => match key.code {
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => Some(Event::Leave),
            // In raw mode the terminal sends no signal.
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Event::Leave),
            KeyCode::Char(' ') => Some(Event::Refresh),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn q_escape_and_control_c_leave() {
        let pressed = |code, modifiers| meaning(&event::Event::Key(KeyEvent::new(code, modifiers)));
        let none = KeyModifiers::NONE;
        assert_eq!(pressed(KeyCode::Char('q'), none), Some(Event::Leave));
        assert_eq!(pressed(KeyCode::Esc, none), Some(Event::Leave));
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Event::Leave));
        assert_eq!(
            (pressed(KeyCode::Char('c'), none), pressed(KeyCode::Char(' '), none)),
            (None, Some(Event::Refresh))
        );
        assert_eq!(meaning(&event::Event::Resize(1, 1)), Some(Event::Redraw));
    }
}
