#ifndef EXPOSITION_H_
#define EXPOSITION_H_

/*
 * The metrics of all programs of this machine as a scraper reads them, from
 * the files that metrics.h describes.  Text as Prometheus has it is the
 * default; a scraper that asks for OpenMetrics gets exemplars, too:
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 * https://prometheus.io/docs/specs/om/open_metrics_spec/
 *
 * For a program that has not been alive for ten seconds only the counters are
 * shown, which stay true, and no gauges.  The figures of the database are shown
 * only while they are fresh.
 */
enum exposition_format { EXPOSITION_TEXT, EXPOSITION_OPENMETRICS };

/**
 * exposition_accepted(accept):
 * Return the format that the header Accept (NULL if missing) prefers (RFC 9110,
 * 12.5.1).  OpenMetrics must be asked for by its name.
 */
enum exposition_format exposition_accepted(const char *);

/**
 * exposition_type(format):
 * Return its content type.
 */
const char *exposition_type(enum exposition_format);

/**
 * exposition_write(dir, format, now):
 * Return all metrics from the files in ${dir} at ${now} (monotime_ms) as a
 * string that the caller frees; NULL when memory is short.
 */
char *exposition_write(const char *, enum exposition_format, long);

#endif /* !EXPOSITION_H_ */
