/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as a file name, escaped with a limit (the first byte): what comes out is held against the C library's idea of
 * what can be shown, and read back. */

#include <locale.h>
#include <wchar.h>
#include <wctype.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "fuzz.h"

/* What must never reach a person as it is, whatever else may: each of these turns a line around, ends it, or hides something. */
static bool is_dangerous(wchar_t c)
{
        static const wchar_t dangerous[] = {0x00ad, 0x061c, 0x180e, 0x200b, 0x200e, 0x200f, 0x2028, 0x2029,
                                            0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2060, 0x2066, 0x2067,
                                            0x2068, 0x2069, 0xfeff, 0xfff9, 0xfffb, 0xfffe, 0xffff, 0xe0001};

        return iswcntrl((wint_t)c) || wmemchr(dangerous, c, sizeof(dangerous) / sizeof(dangerous[0]));
}

static int hex(char c)
{
        return c >= '0' && c <= '9' ? c - '0' : (c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1);
}

/* Valid UTF-8, nothing dangerous, no backslash but in \xNN. Puts what it stands for into back (of strlen(shown) + 1 bytes). */
static void check_shown(const char *shown, char *back)
{
        const char *at = shown, *end = shown + strlen(shown);

        while (at < end) {
                mbstate_t state = {0};
                wchar_t c;
                size_t n;

                if (*at == '\\') {
                        require(end - at >= 4 && at[1] == 'x' && hex(at[2]) >= 0 && hex(at[3]) >= 0);
                        *back++ = (char)(hex(at[2]) << 4 | hex(at[3]));
                        at += 4;
                        continue;
                }
                n = mbrtowc(&c, at, (size_t)(end - at), &state);
                require(n > 0 && n <= 4);
                require(!is_dangerous(c));
                memcpy(back, at, n);
                back += n;
                at += n;
        }
        *back = '\0';
}

static void check_cut(const char *shown, const char *whole, size_t max_bytes)
{
        const size_t n_shown = strlen(shown), n_whole = strlen(whole);
        size_t head = 0;

        require(n_shown <= max_bytes);
        if (n_whole <= max_bytes) {
                require(strcmp(shown, whole) == 0);
                return;
        }
        /* Both ends of it, and dots between them; an escape of twelve bytes may not have fitted. */
        while (shown[head] == whole[head])
                head++;
        for (;; head--) {
                const char *tail = shown + head + 3;

                if (strncmp(shown + head, "...", 3) == 0 && strlen(tail) < n_whole &&
                    strcmp(whole + n_whole - strlen(tail), tail) == 0)
                        break;
                require(head > 0);
        }
        require(n_shown + 32 > max_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
        _cleanup_free_ char *text = NULL, *whole = NULL, *cut = NULL, *usual = NULL, *back = NULL,
                            *cut_back = NULL;
        size_t max_bytes;

        require(setlocale(LC_CTYPE, "C.UTF-8"));
        if (n_bytes == 0)
                return 0;
        max_bytes = 16 + data[0];
        text = fuzz_text(data + 1, n_bytes - 1);
        whole = escape_text_max(text, 16 + 4 * strlen(text));
        cut = escape_text_max(text, max_bytes);
        usual = escape_text(text);
        require(whole && cut && usual);
        back = malloc(strlen(whole) + 1);
        cut_back = malloc(strlen(whole) + strlen(usual) + max_bytes + 1);
        require(back && cut_back);

        /* Nothing is lost, and no two names look the same. */
        check_shown(whole, back);
        require(strcmp(back, text) == 0);

        check_shown(cut, cut_back);
        check_cut(cut, whole, max_bytes);
        check_shown(usual, cut_back);
        check_cut(usual, whole, ESCAPE_MAX_BYTES);
        return 0;
}
