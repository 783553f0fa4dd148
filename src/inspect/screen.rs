//! The terminal, taken and given back.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

/// The terminal in the viewer's hands; given back when it is dropped, on a panic too.
pub(super) struct Screen {
    pub(super) terminal: Terminal<CrosstermBackend<io::Stdout>>,
}

/// Gives the terminal back. What cannot be undone is left as it is.
fn give_back() {
    let _raw: io::Result<()> = disable_raw_mode();
    let _screen: io::Result<()> = execute!(
        io::stdout(),
        DisableMouseCapture,
        LeaveAlternateScreen,
        Show
    );
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn take() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                give_back();
                before(info);
            }));
        });
        enter()?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()));
        if terminal.is_err() {
            give_back();
        }
        Ok(Self {
            terminal: terminal?,
        })
    }

    /// Gives the terminal to the shell, stops, and takes it again when the program goes on.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        #[cfg(unix)]
        signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
        self.again()
    }

    /// Takes the terminal once more: someone else may have had it.
    pub(super) fn again(&mut self) -> io::Result<()> {
        enter()?;
        self.terminal.clear()
    }

    /// Puts a text into the clipboard of the terminal (OSC 52).
    pub(super) fn copy(text: &str) -> io::Result<()> {
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::STANDARD.encode(text.as_bytes());
        let mut out = io::stdout();
        write!(out, "\u{1b}]52;c;{encoded}\u{7}")?;
        out.flush()
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture)
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Signals that came since they were asked for last.
pub(super) struct Signals {
    ended: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
    continued: Arc<AtomicBool>,
}

/// Ends the program for a signal that the loop does not see: reading keys from a terminal that is gone never comes back.
#[cfg(unix)]
fn watch(ended: Arc<AtomicUsize>) {
    const LOOK: std::time::Duration = std::time::Duration::from_millis(500);
    std::thread::spawn(move || {
        let mut before = 0;
        loop {
            std::thread::sleep(LOOK);
            let signal = ended.load(Ordering::Relaxed);
            if signal != 0 && signal == before {
                give_back();
                let signal = i32::try_from(signal).unwrap_or(signal_hook::consts::SIGTERM);
                // where this is not possible there is nothing left to try
                let _lives: io::Result<()> =
                    signal_hook::low_level::emulate_default_handler(signal);
            }
            before = signal;
        }
    });
}

impl Signals {
    /// Listens to the signals that end, stop and continue a program.
    pub(super) fn listen() -> io::Result<Self> {
        let signals = Self {
            ended: Arc::default(),
            stopped: Arc::default(),
            continued: Arc::default(),
        };
        #[cfg(unix)]
        {
            use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP};
            for signal in [SIGTERM, SIGHUP, SIGINT] {
                let number = usize::try_from(signal).unwrap_or(1);
                signal_hook::flag::register_usize(signal, Arc::clone(&signals.ended), number)?;
            }
            watch(Arc::clone(&signals.ended));
            signal_hook::flag::register(SIGTSTP, Arc::clone(&signals.stopped))?;
            signal_hook::flag::register(SIGCONT, Arc::clone(&signals.continued))?;
        }
        Ok(signals)
    }

    /// The number of a signal that ends the program.
    pub(super) fn ended(&self) -> Option<u8> {
        match self.ended.load(Ordering::Relaxed) {
            0 => None,
            number => Some(number as u8),
        }
    }

    /// Whether the program was asked to stop.
    pub(super) fn stopped(&self) -> bool {
        self.stopped.swap(false, Ordering::Relaxed)
    }

    /// Whether the program goes on after it was stopped.
    pub(super) fn continued(&self) -> bool {
        self.continued.swap(false, Ordering::Relaxed)
    }
}
