"""What a run tells those who watch many: traces, metrics and logs, for the command line, the library and the service.

An observer of events like the progress and the summary, never in the data path. Nothing here is imported by a run that was
not asked to tell anybody; contents (rows, prompts, answers) and keys are told to nobody.

    asked      which of the standard variables ask for what
    figures    what is counted, by its names
    counts     events folded into those figures
    metrics    the figures as Prometheus reads them
    servers    who is asked, in the words of OpenTelemetry's conventions
    calls      a call as a span
    spans      a run's events as spans: the run's, and those of its calls
    standing   the calls of engines that a service keeps
    instruments   the figures, and latencies and tokens, as OpenTelemetry's metrics
    exporting  OpenTelemetry's SDK, bounded: a collector that is dead slows and fails nothing
    telling    all of OpenTelemetry, for one run after the other
    logs       the process's log as JSON lines
    masking    what no log may hold
"""
