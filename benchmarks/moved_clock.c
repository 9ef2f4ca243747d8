/* Moves the wall clock of a process, and leaves its monotonic clock alone: for site_faults.py, loaded by LD_PRELOAD.
 *
 * The file that MOVED_CLOCK names holds by how many seconds. libfaketime cannot do it: with a monotonic clock that is
 * left alone, its clock_nanosleep refuses what Python's time.sleep asks for (EINVAL). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long seconds(void)
{
    long told = 0;
    FILE *file = fopen(getenv("MOVED_CLOCK"), "re");
    if (file) {
        if (fscanf(file, "%ld", &told) != 1)
            told = 0;
        fclose(file);
    }
    return told;
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(clock, at);
    if (!code && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        at->tv_sec += seconds();
    return code;
}
