/** What follows from a list, found once for as long as it is the same object: a list of ten thousand backups rarely is another. */
export function ofList<List extends object, Answer>(find: (list: List) => Answer): (list: List) => Answer {
  const found = new WeakMap<List, { readonly answer: Answer }>();
  return (list) => {
    const known = found.get(list) ?? { answer: find(list) };
    found.set(list, known);
    return known.answer;
  };
}
