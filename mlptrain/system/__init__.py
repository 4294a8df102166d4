"""What touches the operating system: whole files, locks, signals, disks that refuse, text that is safe to show."""
