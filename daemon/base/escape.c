/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Bytes in, printable UTF-8 out. */

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/protection.h"

static const char hex_digits[] = "0123456789abcdef";

/* Length of the valid UTF-8 character at text and what it is; 0 where there is none. Overlong forms, surrogates and what
 * lies above U+10FFFF are not valid (RFC 3629). */
static size_t utf8_decode(const unsigned char *text, uint32_t *ret)
{
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        uint32_t character;
        size_t n;

        if (text[0] < 0x80) {
                *ret = text[0];
                return 1;
        }
        n = text[0] >= 0xf0 ? 4 : (text[0] >= 0xe0 ? 3 : 2);
        if (text[0] < 0xc2 || text[0] > 0xf4)
                return 0;
        character = text[0] & (0xffU >> (n + 1));
        for (size_t i = 1; i < n; i++) {
                /* The terminating NUL ends this, too. */
                if ((text[i] & 0xc0) != 0x80)
                        return 0;
                character = character << 6 | (text[i] & 0x3fU);
        }
        if (character < least[n] || character > 0x10ffff || (character >= 0xd800 && character <= 0xdfff))
                return 0;
        *ret = character;
        return n;
}

/* May it be shown as it is? Controls drive terminals, format characters turn text around or hide it, and a STATUS= with a
 * noncharacter in it is dropped by systemd. */
static bool is_harmless(uint32_t c)
{
        if (c < 0x20 || c == '\\' || (c >= 0x7f && c <= 0x9f))
                return false;
        if (c == 0xad || c == 0x61c || c == 0x180e || c == 0xfeff)
                return false;
        if ((c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f))
                return false;
        if ((c >= 0xfff9 && c <= 0xfffb) || (c & 0xfffe) == 0xfffe || (c >= 0xe0000 && c <= 0xe0fff))
                return false;
        if (c >= 0xfdd0 && c <= 0xfdef)
                return false;
        if ((c >= 0x13430 && c <= 0x1343f) || (c >= 0x1bca0 && c <= 0x1bca3) ||
            (c >= 0x1d173 && c <= 0x1d17a))
                return false;
        return true;
}

/* Writes the next character of *text escaped to out (room for 16 bytes) and moves *text behind it. */
static size_t escape_next(const unsigned char **text, char *out)
{
        uint32_t character = 0;
        size_t n = utf8_decode(*text, &character), used = 0;

        if (n > 0 && is_harmless(character)) {
                memcpy(out, *text, n);
                *text += n;
                return n;
        }
        for (size_t i = 0; i < (n > 0 ? n : 1); i++) {
                out[used++] = '\\';
                out[used++] = 'x';
                out[used++] = hex_digits[(*text)[i] >> 4];
                out[used++] = hex_digits[(*text)[i] & 15];
        }
        *text += n > 0 ? n : 1;
        return used;
}

char *escape_text_max(const char *text, size_t max_bytes)
{
        const unsigned char *at = (const unsigned char *)(text ? text : "(unknown)");
        size_t length = strlen((const char *)at), n = 0, head = 0, head_max, tail;
        char *escaped;

        assert(max_bytes >= 16);
        if (!PROTECTED_BY(ESCAPE))
                return strdup((const char *)at);
        escaped = malloc(length * 4 + 16);
        if (!escaped)
                return NULL;
        head_max = (max_bytes - 3) / 2;
        while (*at) {
                n += escape_next(&at, escaped + n);
                if (n <= head_max)
                        head = n;
        }
        escaped[n] = '\0';
        if (n <= max_bytes)
                return escaped;

        /* The tail begins at the next place that is neither inside a character nor inside an escape. */
        tail = n - (max_bytes - 3 - head);
        while (((unsigned char)escaped[tail] & 0xc0) == 0x80)
                tail++;
        for (size_t back = 1; back <= 3 && back <= tail; back++)
                if (escaped[tail - back] == '\\') {
                        tail += 4 - back;
                        break;
                }
        memcpy(escaped + head, "...", 3);
        memmove(escaped + head + 3, escaped + tail, n - tail + 1);
        return escaped;
}

char *escape_text(const char *text)
{
        return escape_text_max(text, ESCAPE_MAX_BYTES);
}
