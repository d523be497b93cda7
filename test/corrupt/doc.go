// Command corrupt damages a broker's data directory between two starts and judges what
// the next one makes of it: every damage is found, or does no harm; wrong bytes are never
// served, and nothing is lost without a word.
//
// It makes a few directories with the real program under load (several topics, all codecs,
// groups, rolled segments; stopped cleanly, killed, killed again) and reads each once, over
// the wire, into a picture. A round copies one of them, damages one file (a flipped bit,
// several, a cut, a loss), starts the program on the copy and reads everything again.
//
// Outcomes of a round:
//
//	refused   the program does not start, and names the file
//	error     it answers with an error for some data, and serves all the rest
//	rebuilt   all is as before, and the log says that something was damaged
//	dropped   the end of a log is missing, and the log names the commit it was in: a
//	          damaged last commit of a journal cannot be told from one that was torn
//	harmless  all is as before
//	WRONG     anything else: other bytes, silent loss, a crash, no answer
//
// Data in: the program, a seed. Data out: a table of outcomes by kind of file, a line of
// figures, exit code 1 after a WRONG.
package main
