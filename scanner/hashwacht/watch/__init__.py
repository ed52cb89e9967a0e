"""File system events from inotify and fanotify behind one interface."""
