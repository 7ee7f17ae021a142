#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config.h"
#include "metrics.h"

#include "exposition.h"

/* For how long what the database knows is shown, in milliseconds. */
#define COLLECTED_MS	30000

static const enum config_program programs[] = { CONFIG_LISTENER,
	CONFIG_SCHEDULE, CONFIG_EXECUTE };

#define NPROGRAMS	(sizeof(programs) / sizeof(programs[0]))

/* A page in the making. */
struct page {
	FILE *f;
	enum exposition_format format;
	struct metrics_snapshot *snapshots[NPROGRAMS];
	int up[NPROGRAMS];
	int is_collected;
	const char *family;	/* whose header was written last */
};

/*
 * Accept.
 */

/*
 * Return the value of the parameter ${name} of a media range of ${len} bytes,
 * and its length in ${vlen}; NULL if it is not there.
 */
static const char *
parameter(const char *range, size_t len, const char *name, size_t *vlen)
{
	const char *p = range, *end = range + len;
	size_t n = strlen(name);

	while ((p = memchr(p, ';', (size_t)(end - p))) != NULL) {
		p++;
		while (p < end && (*p == ' ' || *p == '\t'))
			p++;
		if ((size_t)(end - p) > n && strncasecmp(p, name, n) == 0 &&
		    p[n] == '=') {
			/* The value may be quoted (RFC 9110, 5.6.6). */
			p += n + 1;
			if (p < end && *p == '"')
				p++;
			*vlen = 0;
			while (&p[*vlen] < end && strchr("\"; \t",
			    p[*vlen]) == NULL)
				(*vlen)++;
			return (p);
		}
	}
	return (NULL);
}

/* The weight of a range, 1 where it has none. */
static double
weight(const char *range, size_t len)
{
	const char *q;
	char text[16];
	size_t n;

	if ((q = parameter(range, len, "q", &n)) == NULL)
		return (1);
	(void)snprintf(text, sizeof(text), "%.*s", (int)n, q);
	return (strtod(text, NULL));
}

/* Is the range ${type}, in a version that is ours or in any? */
static int
is_type(const char *range, size_t len, const char *type, const char *version)
{
	const char *given;
	size_t n = strcspn(range, "; \t,"), vlen;

	if (n != strlen(type) || strncasecmp(range, type, n) != 0)
		return (0);
	given = parameter(range, len, "version", &vlen);
	return (given == NULL || (vlen == strlen(version) &&
	    strncmp(given, version, vlen) == 0));
}

/**
 * exposition_accepted(accept):
 * Return the format that the header Accept (NULL if missing) prefers (RFC 9110,
 * 12.5.1).  OpenMetrics must be asked for by its name.
 */
enum exposition_format
exposition_accepted(const char *accept)
{
	double open = 0, text = -1, any = -1, q;
	const char *p = accept != NULL ? accept : "";
	size_t len;

	for (; *p != '\0'; p += len + (p[len] != '\0')) {
		p += strspn(p, " \t");
		len = strcspn(p, ",");
		q = weight(p, len);
		if (is_type(p, len, "application/openmetrics-text", "1.0.0") &&
		    q > open)
			open = q;
		else if (is_type(p, len, "text/plain", "0.0.4") && q > text)
			text = q;
		else if ((is_type(p, len, "*/*", "") ||
		    is_type(p, len, "text/*", "")) && q > any)
			any = q;
	}

	/* A range that names the type goes before one that may mean it. */
	if (text < 0)
		text = any;
	return (open > 0 && open >= text ? EXPOSITION_OPENMETRICS :
	    EXPOSITION_TEXT);
}

/**
 * exposition_type(format):
 * Return its content type.
 */
const char *
exposition_type(enum exposition_format format)
{

	return (format == EXPOSITION_OPENMETRICS ?
	    "application/openmetrics-text; version=1.0.0; charset=utf-8" :
	    "text/plain; version=0.0.4; charset=utf-8");
}

/*
 * Writing.
 */

/* The length of a family's name: OpenMetrics' counters go without _total. */
static int
name_length(const struct page *page, const struct metrics_family *family)
{
	static const char suffix[] = "_total";
	size_t len = strlen(family->name);

	if (page->format == EXPOSITION_OPENMETRICS &&
	    family->type == METRICS_COUNTER)
		len -= strlen(suffix);
	return ((int)len);
}

/* What comes before the first sample of a family. */
static void
write_header(struct page *page, const struct metrics_family *family)
{
	int len = name_length(page, family);

	if (page->family != NULL && strcmp(page->family, family->name) == 0)
		return;
	page->family = family->name;
	(void)fprintf(page->f, "# HELP %.*s %s\n# TYPE %.*s %s\n", len,
	    family->name, family->help, len, family->name,
	    family->type == METRICS_COUNTER ? "counter" :
	    family->type == METRICS_HISTOGRAM ? "histogram" : "gauge");
}

/* The value of a label: what comes from elsewhere is escaped. */
static void
write_label(FILE *f, const char **before, const char *name,
    const char *value)
{

	(void)fprintf(f, "%s%s=\"", *before, name);
	for (; *value != '\0'; value++) {
		if (*value == '\n')
			(void)fputs("\\n", f);
		else if (*value == '"' || *value == '\\')
			(void)fprintf(f, "\\%c", *value);
		else
			(void)fputc(*value, f);
	}
	(void)fputc('"', f);
	*before = ",";
}

/* How many combinations follow each other for one value of label ${i}. */
static int
stride(const struct metrics_family *family, int i)
{
	const char *const *value;
	int n = 1;

	if (i + 1 < METRICS_LABELS && family->labels[i + 1].name != NULL) {
		for (n = 0, value = family->labels[i + 1].values;
		    *value != NULL; value++)
			n++;
	}
	return (n > 0 ? n : 1);
}

/*
 * The labels of combination ${label}; ${program} or NULL, and ${le}, that of a
 * bucket, or NULL.
 */
static void
write_labels(FILE *f, const struct metrics_family *family, int label,
    const char *program, const char *le)
{
	const char *before = "{";
	int i, n;

	if (program != NULL)
		write_label(f, &before, "program", program);
	if (family->constant != NULL) {
		(void)fprintf(f, "%s%s", before, family->constant);
		before = ",";
	}
	for (i = 0; i < METRICS_LABELS && family->labels[i].name != NULL;
	    i++) {
		n = stride(family, i);
		write_label(f, &before, family->labels[i].name,
		    family->labels[i].values[label / n]);
		label %= n;
	}
	if (le != NULL)
		write_label(f, &before, "le", le);
	if (*before == ',')
		(void)fputc('}', f);
}

/* One line of a counter, gauge or state. */
static void
write_value(struct page *page, const struct metrics_family *family, int label,
    const char *program, long value)
{

	write_header(page, family);
	(void)fputs(family->name, page->f);
	write_labels(page->f, family, label, program, NULL);
	if (family->is_time)
		(void)fprintf(page->f, " %.3f\n", (double)value / 1e3);
	else
		(void)fprintf(page->f, " %ld\n", value);
}

/* The last call in ${bucket}, if anybody could look at its trace. */
static void
write_exemplar(struct page *page, const struct metrics_snapshot *s,
    size_t bucket)
{
	struct metrics_exemplar e;

	if (page->format == EXPOSITION_OPENMETRICS &&
	    metrics_exemplar(s, bucket, &e) == 0)
		(void)fprintf(page->f, " # {trace_id=\"%s\"} %.6f %.3f",
		    e.trace_id, e.value, e.time);
}

/* The lines of a histogram; its buckets are cumulative here. */
static void
write_histogram(struct page *page, enum metric metric, int label,
    const struct metrics_snapshot *s)
{
	const struct metrics_family *family = &metrics_families[metric];
	struct metrics_histogram h;
	unsigned long all = 0;
	char le[32];
	int is_whole;
	size_t i;

	metrics_histogram(s, metric, label, &h);
	write_header(page, family);
	for (i = 0; i < h.n; i++) {
		all += h.counts[i];
		is_whole = family->buckets[i] >= 1 &&
		    family->buckets[i] == (double)(long)family->buckets[i];
		(void)snprintf(le, sizeof(le), "%g%s", family->buckets[i],
		    page->format == EXPOSITION_OPENMETRICS && is_whole ?
		    ".0" : "");
		(void)fprintf(page->f, "%s_bucket", family->name);
		write_labels(page->f, family, label, NULL,
		    i + 1 < h.n ? le : "+Inf");
		(void)fprintf(page->f, " %lu", all);
		if (metric == METRICS_CALL_LATENESS)
			write_exemplar(page, s, i);
		(void)fputc('\n', page->f);
	}
	(void)fprintf(page->f, "%s_sum", family->name);
	write_labels(page->f, family, label, NULL, NULL);
	(void)fprintf(page->f, " %.6f\n%s_count", h.sum, family->name);
	write_labels(page->f, family, label, NULL, NULL);
	(void)fprintf(page->f, " %lu\n", all);
}

/* What runs, and what is installed. */
static void
write_build_info(struct page *page, size_t p)
{
	const struct metrics_family *family =
	    &metrics_families[METRICS_BUILD_INFO];
	const char *before = "{";

	if (!page->up[p])
		return;
	write_header(page, family);
	(void)fputs(family->name, page->f);
	write_label(page->f, &before, "program",
	    metrics_program(programs[p]));
	write_label(page->f, &before, "version",
	    metrics_version(page->snapshots[p]));
	write_label(page->f, &before, "schema",
	    metrics_schema_found(page->snapshots[1]));
	(void)fputs("} 1\n", page->f);
}

/* Does ${p} have a value of ${metric} to show? */
static int
is_shown(const struct page *page, size_t p, enum metric metric)
{
	const struct metrics_family *family = &metrics_families[metric];

	if (!(family->programs & programs[p]) || page->snapshots[p] == NULL)
		return (0);
	if (family->from_database && !page->is_collected)
		return (0);
	return (page->up[p] || family->type == METRICS_COUNTER ||
	    family->type == METRICS_HISTOGRAM);
}

/* All lines of one program's own metric. */
static void
write_program(struct page *page, enum metric metric, size_t p)
{
	const struct metrics_family *family = &metrics_families[metric];
	const struct metrics_snapshot *s = page->snapshots[p];
	const char *program = family->each ? metrics_program(programs[p]) :
	    NULL;
	int i, n = metrics_combinations(family);
	long value;

	for (i = 0; i < n; i++) {
		if (family->type == METRICS_HISTOGRAM)
			write_histogram(page, metric, i, s);
		else if (family->type == METRICS_STATE) {
			if (metrics_value(s, metric, 0, &value) == 0)
				write_value(page, family, i, program,
				    value == i);
		} else if (metrics_value(s, metric, i, &value) == 0)
			write_value(page, family, i, program, value);
	}
}

/* A counter that several programs add to: their sum. */
static void
write_sum(struct page *page, enum metric metric)
{
	const struct metrics_family *family = &metrics_families[metric];
	int i, n = metrics_combinations(family), known;
	long value, sum;
	size_t p;

	for (i = 0; i < n; i++) {
		sum = known = 0;
		for (p = 0; p < NPROGRAMS; p++) {
			if (!is_shown(page, p, metric) || metrics_value(
			    page->snapshots[p], metric, i, &value) != 0)
				continue;
			sum += value;
			known = 1;
		}
		if (known)
			write_value(page, family, i, NULL, sum);
	}
}

/* Who is down neither leads nor listens, and alerts look for that 0. */
static int
is_false_when_down(enum metric metric)
{

	return (metric == METRICS_LEADER || metric == METRICS_LISTENING);
}

static void
write_metric(struct page *page, enum metric metric)
{
	const struct metrics_family *family = &metrics_families[metric];
	unsigned int keepers = family->programs;
	size_t p;

	if (!family->each && (keepers & (keepers - 1)) != 0) {
		write_sum(page, metric);
		return;
	}
	for (p = 0; p < NPROGRAMS; p++) {
		if (metric == METRICS_UP)
			write_value(page, family, 0,
			    metrics_program(programs[p]), page->up[p]);
		else if (metric == METRICS_BUILD_INFO)
			write_build_info(page, p);
		else if (is_shown(page, p, metric))
			write_program(page, metric, p);
		else if (is_false_when_down(metric) &&
		    programs[p] == CONFIG_LISTENER &&
		    page->snapshots[p] != NULL)
			write_value(page, family, 0, NULL, 0);
	}
}

/**
 * exposition_write(dir, format, now):
 * Return all metrics from the files in ${dir} at ${now} (monotime_ms) as a
 * string that the caller frees; NULL when memory is short.
 */
char *
exposition_write(const char *dir, enum exposition_format format, long now)
{
	struct page page = { .format = format };
	char *text = NULL;
	size_t len, p;
	int m;

	if ((page.f = open_memstream(&text, &len)) == NULL)
		return (NULL);
	for (p = 0; p < NPROGRAMS; p++) {
		page.snapshots[p] = metrics_read(dir, programs[p]);
		page.up[p] = metrics_is_up(page.snapshots[p], now);
		if (programs[p] == CONFIG_SCHEDULE)
			page.is_collected = page.up[p] && metrics_is_collected(
			    page.snapshots[p], now, COLLECTED_MS);
	}
	for (m = 0; m < METRICS_N; m++)
		write_metric(&page, (enum metric)m);
	if (format == EXPOSITION_OPENMETRICS)
		(void)fputs("# EOF\n", page.f);
	for (p = 0; p < NPROGRAMS; p++)
		metrics_snapshot_free(page.snapshots[p]);
	if (fclose(page.f) != 0) {
		free(text);
		return (NULL);
	}
	return (text);
}
