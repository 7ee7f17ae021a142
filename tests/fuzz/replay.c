#include <dirent.h>
#include <errno.h>

#include "fuzz.h"

/*
 * The main function of a fuzz target built without libFuzzer:
 *
 * NAME FILE|FOLDER ...
 *
 * runs the target on each file, and on each file of each folder, and says
 * how many there were.  A finding ends the program; the last name printed is
 * that of the input.
 */

static unsigned long ran;

static int
run_file(const char *path)
{
	uint8_t *data = NULL, *more;
	size_t len = 0, n;
	FILE *f;

	if ((f = fopen(path, "rb")) == NULL)
		goto err;
	do {
		if ((more = realloc(data, len + 4096)) == NULL)
			goto err;
		data = more;
		n = fread(data + len, 1, 4096, f);
		len += n;
	} while (n > 0);
	if (ferror(f))
		goto err;
	(void)fclose(f);

	/* The sanitizer shall see who reads beyond the end of the input. */
	if (len > 0 && (more = realloc(data, len)) != NULL)
		data = more;
	(void)printf("# %s\n", path);
	(void)fflush(stdout);
	(void)LLVMFuzzerTestOneInput(data, len);
	free(data);
	ran++;
	return (0);

err:
	(void)fprintf(stderr, "cannot read the input %s: %s\n", path,
	    strerror(errno));
	if (f != NULL)
		(void)fclose(f);
	free(data);
	return (-1);
}

static int
run_folder(const char *path, DIR *folder)
{
	struct dirent *entry;
	char *name;
	int rc = 0;

	while (rc == 0 && (entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (asprintf(&name, "%s/%s", path, entry->d_name) == -1)
			return (-1);
		rc = run_file(name);
		free(name);
	}
	return (rc);
}

int
main(int argc, char **argv)
{
	DIR *folder;
	int i, rc = 0;

	for (i = 1; i < argc && rc == 0; i++) {
		if ((folder = opendir(argv[i])) != NULL) {
			rc = run_folder(argv[i], folder);
			(void)closedir(folder);
		} else
			rc = run_file(argv[i]);
	}
	(void)printf("%lu inputs\n", ran);
	return (rc == 0 && ran > 0 ? 0 : 1);
}
