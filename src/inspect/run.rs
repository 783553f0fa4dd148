//! Waiting, drawing, and what has to be done outside of the model.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event};
use regex::bytes::Regex;

use super::judge;
use super::model::{Model, Options};
use super::screen::{Screen, Signals};
use super::search;
use super::update::{Action, Message, update};
use super::view::view;
use crate::timeline::{Filter, Source, Timeline};

/// A timeline and the files its texts stand in.
pub type Loaded = (Arc<Timeline>, Vec<Box<dyn Source>>);

/// Reads the files; the first number takes how much was read, in parts of a thousand.
pub type Load = Arc<dyn Fn(&AtomicU32) -> Result<Loaded, String> + Send + Sync>;

/// Writes a text, or the transcript of what passes a filter, into a new file of a name.
pub type Write = Arc<dyn Fn(&str, &str) -> Result<(), String> + Send + Sync>;

/// What the viewer needs from outside.
#[derive(Clone)]
pub struct Helpers {
    /// Reads all of the files (again).
    pub load: Load,
    /// How long all files are together, to see that they have grown.
    pub length: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Opens one of the files, for searching.
    pub open: Arc<dyn Fn(usize) -> io::Result<Box<dyn Source>> + Send + Sync>,
    /// Writes a new file.
    pub write: Write,
}

/// How often is looked for what helpers found.
const TICK: Duration = Duration::from_millis(40);

/// How often is looked whether a followed file has grown.
const LOOK: Duration = Duration::from_millis(300);

/// Runs the viewer until its user ends it. `first` is shown at once; `whole` says whether it is all there is, otherwise
/// everything is read in the background. Returns the number of the signal that ended it, if one did.
///
/// # Errors
/// What taking, drawing or reading the terminal returns.
pub fn run(
    first: Loaded,
    whole: bool,
    options: Options,
    helpers: &Helpers,
) -> io::Result<Option<u8>> {
    let signals = Signals::listen()?;
    let mut screen = Screen::take()?;
    let size = screen.terminal.size()?;
    let (timeline, sources) = first;
    let follow = options.follow;
    let mut model = Model::new(timeline, sources, options, (size.width, size.height));
    let (sender, receiver) = channel();
    let mut work = Work {
        helpers: helpers.clone(),
        sender,
        progress: Arc::default(),
        reading: false,
        length: (helpers.length)(),
        looked: Instant::now(),
        cost: Duration::ZERO,
        cancel: Arc::default(),
        judging: false,
    };
    if !whole {
        model.progress = Some(0);
        work.read();
    }
    loop {
        screen.terminal.draw(|frame| view(&model, frame))?;
        let mut messages = wait(&receiver, &mut work, follow)?;
        if let Some(signal) = signals.ended() {
            return Ok(Some(signal));
        }
        if signals.stopped() {
            screen.suspend()?;
            signals.continued();
            messages.push(resized(&screen)?);
        } else if signals.continued() {
            screen.again()?;
            messages.push(resized(&screen)?);
        }
        for message in messages {
            for action in update(&mut model, message) {
                work.act(action, &model.timeline, &mut screen)?;
            }
        }
        if model.over {
            work.cancel.store(true, Ordering::Relaxed);
            return Ok(None);
        }
    }
}

fn resized(screen: &Screen) -> io::Result<Message> {
    let size = screen.terminal.size()?;
    Ok(Message::Resize(size.width, size.height))
}

/// Waits for a key, the mouse, or a helper.
fn wait(receiver: &Receiver<Message>, work: &mut Work, follow: bool) -> io::Result<Vec<Message>> {
    let mut messages = Vec::new();
    if event::poll(TICK)? {
        // what was typed meanwhile is drawn once
        while event::poll(Duration::ZERO)? {
            match event::read()? {
                Event::Key(key) => messages.push(Message::Key(key)),
                Event::Mouse(mouse) => messages.push(Message::Mouse(mouse)),
                Event::Resize(width, height) => messages.push(Message::Resize(width, height)),
                _ => {}
            }
            if messages.len() > 100 {
                break;
            }
        }
    }
    while let Ok(message) = receiver.try_recv() {
        match &message {
            Message::Loaded(..) | Message::LoadFailed(_) => work.reading = false,
            Message::Judged(..) => work.judging = false,
            _ => {}
        }
        messages.push(message);
    }
    if work.reading {
        messages.push(Message::Progress(work.progress.load(Ordering::Relaxed)));
    } else if follow && work.looked.elapsed() > LOOK.max(work.cost * 5) {
        work.looked = Instant::now();
        let length = (work.helpers.length)();
        if length != work.length {
            work.length = length;
            work.read();
        }
    }
    Ok(messages)
}

/// Helpers at work.
struct Work {
    helpers: Helpers,
    sender: Sender<Message>,
    progress: Arc<AtomicU32>,
    reading: bool,
    length: u64,
    looked: Instant,
    /// How long the last reading took: a large file is not read without pause.
    cost: Duration,
    cancel: Arc<AtomicBool>,
    judging: bool,
}

impl Work {
    fn read(&mut self) {
        self.reading = true;
        self.looked = Instant::now();
        self.progress.store(0, Ordering::Relaxed);
        let (load, progress, sender) = (
            Arc::clone(&self.helpers.load),
            Arc::clone(&self.progress),
            self.sender.clone(),
        );
        thread::spawn(move || {
            let message = match load(&progress) {
                Ok((timeline, sources)) => Message::Loaded(timeline, sources),
                Err(why) => Message::LoadFailed(why),
            };
            // the viewer may have ended meanwhile
            let _gone: Result<(), _> = sender.send(message);
        });
    }

    fn act(
        &mut self,
        action: Action,
        timeline: &Arc<Timeline>,
        screen: &mut Screen,
    ) -> io::Result<()> {
        match action {
            Action::Suspend => {
                screen.suspend()?;
                self.send(resized(screen)?);
            }
            Action::Copy(text) => {
                Screen::copy(&text)?;
                self.send(Message::Told(format!("{} bytes copied", text.len())));
            }
            Action::StopSearch => self.cancel.store(true, Ordering::Relaxed),
            Action::Search(number, pattern) => self.search(number, pattern, timeline),
            Action::Write(name, text) => {
                let words = match (self.helpers.write)(&name, &text) {
                    Ok(()) => format!("written: {name}"),
                    Err(why) => why,
                };
                self.send(Message::Told(words));
            }
            Action::WriteAll(name, filter) => {
                let words = match self
                    .transcript(timeline, &filter)
                    .map_err(|error| error.to_string())
                    .and_then(|text| (self.helpers.write)(&name, &text))
                {
                    Ok(()) => format!("written: {name}"),
                    Err(why) => why,
                };
                self.send(Message::Told(words));
            }
            Action::Judge {
                request,
                file,
                lane,
                entry,
            } => {
                if self.judging {
                    return Ok(());
                }
                self.judging = true;
                let (timeline, sender) = (Arc::clone(timeline), self.sender.clone());
                thread::spawn(move || {
                    let found = judge::judge(&timeline, file, lane, entry);
                    let _gone: Result<(), _> = sender.send(Message::Judged(request, found));
                });
            }
        }
        Ok(())
    }

    fn send(&self, message: Message) {
        // the receiver lives as long as the loop
        let _gone: Result<(), _> = self.sender.send(message);
    }

    fn transcript(&self, timeline: &Timeline, filter: &Filter) -> io::Result<String> {
        let mut sources = Vec::new();
        for file in 0..timeline.files.len() {
            sources.push((self.helpers.open)(file)?);
        }
        let mut out = Vec::new();
        let paint = crate::report::style::Paint::Plain;
        crate::report::inspect::text::write(
            &mut out,
            timeline,
            &mut sources,
            filter,
            paint,
            false,
        )?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    fn search(&mut self, number: u32, pattern: Regex, timeline: &Arc<Timeline>) {
        self.cancel.store(true, Ordering::Relaxed);
        let cancel = Arc::new(AtomicBool::new(false));
        self.cancel = Arc::clone(&cancel);
        let (timeline, open, sender) = (
            Arc::clone(timeline),
            Arc::clone(&self.helpers.open),
            self.sender.clone(),
        );
        thread::spawn(move || {
            let total: u64 = timeline.files.iter().map(|file| file.lines.bytes()).sum();
            let mut before = 0;
            for (at, file) in timeline.files.iter().enumerate() {
                let told = |hits: Vec<u32>, done: u64| {
                    let parts = ((before + done) * 1000)
                        .checked_div(total.max(1))
                        .unwrap_or(0);
                    let message = Message::Found(number, at as u16, hits, Some(parts as u32));
                    let _gone: Result<(), _> = sender.send(message);
                };
                let searched = open(at).and_then(|mut source| {
                    let mut told = told;
                    search::search(&mut *source, &file.lines, &pattern, &cancel, &mut told)
                });
                if let Err(error) = searched {
                    let _gone: Result<(), _> = sender.send(Message::Told(error.to_string()));
                }
                before += file.lines.bytes();
            }
            if !cancel.load(Ordering::Relaxed) {
                let _gone: Result<(), _> = sender.send(Message::Found(number, 0, Vec::new(), None));
            }
        });
    }
}
