/** The action of a command is loaded when the command runs. Help and the other commands do without it. */

/**
 * An action of a command.
 *
 * @param load imports what is to be done
 */
export function later<Given extends unknown[]>(
  load: () => Promise<(...given: Given) => void | Promise<void>>,
): (...given: Given) => Promise<void> {
  return async (...given) => {
    const act = await load();
    await act(...given);
  };
}
