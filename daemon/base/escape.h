/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The one way in which text that may hold a file name reaches a person, the journal, STATUS= or the bus.
 *
 * File names are bytes chosen by anybody: a newline in one would inject assignments into an sd_notify message, an
 * escape sequence would drive a terminal, invalid UTF-8 makes systemd drop the message. */

#include <stddef.h>

/* Longest result in bytes without the terminating NUL; longer text is cut in the middle at character borders and the
 * cut shown as "...": the ends of a path tell most. An sd_notify message must stay under 4096 bytes as a whole. */
#define ESCAPE_MAX_BYTES 512

/* Returns a new string in which control characters (C0, DEL, C1), backslashes, bidirectional and other format controls
 * and bytes that are not valid UTF-8 are written as \xNN, byte by byte; NULL only when memory is short. NULL as text
 * gives "(unknown)". */
char *escape_text(const char *text);

/* The same with a limit of its own (at least 16). */
char *escape_text_max(const char *text, size_t max_bytes);
