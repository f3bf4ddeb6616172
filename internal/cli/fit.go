package cli

import (
	"io"
	"os"
	"unicode/utf8"

	"golang.org/x/term"
)

// Columns of a table on a terminal.
const (
	gap       = 2 // between two columns
	minColumn = 8 // no column becomes narrower
)

// sizeOf returns how many columns and lines a terminal has, zeros for what is none: there, lines have what length they need.
func sizeOf(w io.Writer) (width, height int) {
	if stdout, ok := w.(*output); ok {
		w = stdout.w
	}
	file, ok := w.(*os.File)
	if !ok {
		return 0, 0
	}
	width, height, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0, 0
	}
	return width, height
}

func widthOf(w io.Writer) int {
	width, _ := sizeOf(w)
	return width
}

func heightOf(w io.Writer) int {
	_, height := sizeOf(w)
	return height
}

// fit shortens the cells of the widest columns until a table is no wider than the terminal. The first column, by which
// things are named, stays whole.
func fit(rows [][]string, width int) {
	widths := widthsOf(rows)
	total := -gap
	for _, w := range widths {
		total += w + gap
	}
	if width <= 0 {
		return
	}
	for ; total > width; total-- {
		widest := 0
		for i := 1; i < len(widths); i++ {
			if widest == 0 || widths[i] > widths[widest] {
				widest = i
			}
		}
		if widest == 0 || widths[widest] <= minColumn {
			break // what is left is wrapped by the terminal
		}
		widths[widest]--
	}
	for _, row := range rows {
		for i, cell := range row {
			row[i] = shorten(cell, widths[i])
		}
	}
}

func widthsOf(rows [][]string) []int {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

// shorten cuts a text to so many characters, the last of which then says so.
func shorten(text string, length int) string {
	if utf8.RuneCountInString(text) <= length {
		return text
	}
	return string([]rune(text)[:length-1]) + "…"
}
