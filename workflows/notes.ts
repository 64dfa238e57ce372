/** The notes of a run: sentences for its status, bounded in length and number. Pure. */
import { fold, LIMITS, lines, oneLine } from '../src/text';

const limit = { count: 500, bytes: 200_000 };
const mostNamedSignals = 10;

export class Notes {
  private readonly sentences: string[] = [];
  private namedSignals = 0;
  private countedSignals = 0;

  /** Notes a sentence once; what follows its first line is a command. */
  add(sentence: string): void {
    const note = lines(sentence, LIMITS.sentence);
    if (!this.sentences.includes(note)) this.sentences.push(note);
  }

  /** Notes a sentence that may stand there already. */
  repeat(sentence: string): void {
    this.sentences.push(lines(sentence, LIMITS.sentence));
  }

  /** Notes a signal that made no sense; repeated ones, and from some number on all, are only counted, in one note. */
  ignore(name: string, why: string): void {
    const note = oneLine(`The signal ${name} was ignored: ${why}`, 1_000);
    if (this.namedSignals < mostNamedSignals && !this.sentences.includes(note)) {
      this.namedSignals += 1;
      this.sentences.push(note);
      return;
    }
    const before = this.sentences.indexOf(countOf(this.countedSignals));
    if (before >= 0) this.sentences.splice(before, 1);
    this.countedSignals += 1;
    this.sentences.push(countOf(this.countedSignals));
  }

  list(): string[] {
    const { first, leftOut, last } = fold(this.sentences, limit);
    return leftOut === 0 ? first : [...first, `… ${leftOut} notes are left out here …`, ...last];
  }
}

function countOf(signals: number): string {
  return `… and ${signals} more ${signals === 1 ? 'signal was' : 'signals were'} ignored.`;
}
